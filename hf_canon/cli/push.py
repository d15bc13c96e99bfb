"""`hf-canon push`: a face over `push_folder`."""

import argparse

NAME = "push"
SUMMARY = "upload an adapter to the Hub"
DESCRIPTION = """\
Upload the adapter in a folder, in one commit: its weights and configuration, the
processor, the card and the report of `hf-canon evaluate --card`. Checkpoints and
logs of a training in the same folder stay behind. A card on the Hub that somebody
has edited is kept. Pushing the same again makes no commit."""
EXAMPLES = """\
  hf-canon push out me/vit-base-d4
  hf-canon push out me/vit-base-d4 --private --revision trial

the checkpoint of the adapter has to be on the Hub as well; one that is not:
  hf upload me/my-checkpoint my-checkpoint/"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="FOLDER", help="an adapter, as `hf-canon train` and save_pretrained write it"
    )
    parser.add_argument("repository", metavar="OWNER/NAME", help="made if it does not exist")
    parser.add_argument("--private", action="store_true", default=None, help="make a new repository private")
    parser.add_argument("--revision", metavar="BRANCH", help="made if it does not exist; default: main")
    parser.add_argument("--message", help="of the commit")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request in place of a commit")
    parser.add_argument(
        "--overwrite-card", action="store_true", help="replace the card on the Hub even if somebody has edited it"
    )


def run(args: argparse.Namespace) -> int:
    from ..hub import push_folder
    from .checkpoints import read_config

    read_config(args.folder)
    done = push_folder(
        args.folder,
        args.repository,
        private=args.private,
        revision=args.revision,
        commit_message=args.message,
        create_pr=args.create_pr,
        overwrite_card=args.overwrite_card,
    )
    print(f"The adapter is at {done.pr_url or done.repo_url}, commit {done.oid}.")
    print("Load it with:")
    print(f'  CanonicalizedModel.from_pretrained("{done.repo_url.repo_id}", revision="{done.oid}")')
    return 0
