"""`hf-canon demo`: a face over `hf_canon.demo`."""

import argparse
import signal
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..data.named import DATA_HELP
from .numbers import count

if TYPE_CHECKING:
    from ..demo import Offered

NAME = "demo"
SUMMARY = "see it happen, in a browser"
DESCRIPTION = """\
Open a page on which an image is turned, mirrored and tinted by hand, or an audio clip
played faster, higher and backwards: what the checkpoint says of it alone, what it
says behind its canonicalizer, what was found, and where canonicalization hurts.

Without a checkpoint it shows what `make quickstart` left under this folder. On
this machine alone the page opens folders too; where strangers reach it (--share,
--host), nothing but the Hub and what is named here.

Or make a Space of it, with the adapter, some of the examples and the code of this
version, at huggingface.co/spaces."""
EXAMPLES = """\
  hf-canon demo
  hf-canon demo out --data photos/
  hf-canon demo google/vit-base-patch16-224 --group c8
  hf-canon demo vit-d4 words-speed12 --data photos/ --clips recordings/

for programs, and for agents that speak MCP:
  hf-canon demo out --mcp

on the Hub:
  hf-canon demo out --data photos/ --push me/vit-d4-demo"""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoints",
        nargs="*",
        metavar="ADAPTER_OR_CHECKPOINT",
        help="a folder, or the id of a repository on the Hub; the first that reads images and the first that reads "
        "audio are open at first",
    )
    parser.add_argument(
        "--group",
        default="",
        help="for a checkpoint without adapter: what happens to its inputs (c8, d4, reverse, ...)",
    )
    parser.add_argument("--data", metavar="IMAGES", help=f"example images: {DATA_HELP}")
    parser.add_argument(
        "--clips", metavar="FOLDER", help="example clips: wav, flac, ogg or mp3 files, perhaps in a folder a class"
    )
    parser.add_argument(
        "--host", default=LOOPBACK[0], help="0.0.0.0 to be reached from elsewhere; default: %(default)s"
    )
    parser.add_argument("--port", type=count, help="default: the first free one from 7860 on")
    parser.add_argument("--share", action="store_true", help="a public link through gradio's servers, for 72 hours")
    parser.add_argument("--mcp", action="store_true", help="every action is a tool for agents too")
    parser.add_argument("--push", metavar="OWNER/NAME", help="upload it as a Space in place of opening it")
    parser.add_argument("--private", action="store_true", default=None, help="make a new Space private")


def run(args: argparse.Namespace) -> int:
    for module, extra in (("gradio", "demo"), ("soundfile", "demo"), *([("mcp", "mcp")] if args.mcp else [])):
        if find_spec(module) is None:
            raise ValueError(f"The demo needs {module}, which is not installed: pip install 'hf_canon[{extra}]'")
    if args.push:
        return push(args)
    offered = offered_by(args)
    print("Loading ...", file=sys.stderr, flush=True)
    from ..demo import LAUNCH, build_demo

    page = build_demo(offered)
    try:
        _, url, shared = page.launch(
            **LAUNCH,
            server_name=args.host,
            server_port=args.port,
            share=args.share,
            mcp_server=args.mcp,
            inbrowser=sys.stdout.isatty(),
            prevent_thread_lock=True,
            quiet=True,
        )
    except OSError as error:
        port = args.port or "7860 and those after it"
        raise ValueError(f"No page can be served at {args.host}, port {port}: in use. Name another --port.") from error
    print(f"The demo is at {shared or url}", flush=True)
    if args.mcp:
        print(f"Its tools are at {(shared or url).rstrip('/')}/gradio_api/mcp/", flush=True)
    print("Ctrl-C ends it.", flush=True)
    # A service is ended in another way, and visitors' files have to go then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    page.block_thread()
    return 0


def push(args: argparse.Namespace) -> int:
    from ..demo.space import push_space

    done = push_space(offered_by(args), args.push, private=args.private)
    print(f"The Space is at {done.repo_url}, commit {done.oid}.")
    return 0


def offered_by(args: argparse.Namespace) -> "Offered":
    """What the command line names, or else what the quickstart left.

    Raises:
        ValueError: neither is there.
    """
    from ..demo import Offered

    if args.group and not args.checkpoints:
        raise ValueError("--group says what happens to the inputs of a checkpoint without adapter. Name it too.")
    public = args.share or args.host not in LOOPBACK
    if not args.checkpoints:
        found = Offered.quickstart()
        return Offered(found.checkpoints, args.data or found.images, args.clips or found.clips, public)
    return Offered(tuple(args.checkpoints), args.data, args.clips, public, args.group)
