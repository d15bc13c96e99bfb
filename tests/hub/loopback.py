"""A Hub in this process: enough of the real one's HTTP interface for its unmodified clients, over loopback.

Repositories live in memory. Files come as regular ones, but for parquet: `datasets` sends that as LFS objects only.
There is no Xet and no pull request, and what is not served is answered 404, with the request in the message.
"""

import base64
import hashlib
import json
import re
import select
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}
FIRST_FILES = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}

API = r"/api/(?P<kind>model|dataset|space)s/(?P<id>[^/]+(?:/[^/]+)?)"
PAGE = r"/(?P<kind>datasets/|spaces/|)(?P<id>[^/]+(?:/[^/]+)?)"


class User(NamedTuple):
    """Who holds a token, and which of "read" and "write" it allows on the repositories of that user."""

    name: str
    rights: frozenset[str]


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    message: str
    files: Mapping[str, bytes]
    date: str


@dataclass
class Repository:
    """Immutable commits and the names that point at them: moving a name is what makes a commit atomic."""

    kind: str
    id: str
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit("main", "initial commit", FIRST_FILES)

    def commit(self, branch: str, message: str, files: Mapping[str, bytes]) -> Commit:
        """Let `branch` hold exactly `files`."""
        parent = self.branches.get(branch)
        content = [self.kind, self.id, parent, message, {path: blob_oid(data) for path, data in files.items()}]
        oid = hashlib.sha1(json.dumps(content, sort_keys=True).encode()).hexdigest()
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.commits[oid] = Commit(oid, parent, message, dict(files), date)
        self.branches[branch] = oid
        return self.commits[oid]

    def at(self, revision: str) -> Commit:
        oid = self.branches.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            refuse(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def history(self, revision: str) -> list[Commit]:
        """The commit and its ancestors, newest first."""
        commits = [self.at(revision)]
        while (parent := commits[-1].parent) is not None:
            commits.append(self.commits[parent])
        return commits


class Answer(NamedTuple):
    body: bytes
    status: int = 200
    headers: Mapping[str, str] = {}
    cut: bool = False  # hang up in the middle of the body


class Refusal(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body.decode())
        self.answer = answer


def as_json(value: object, status: int = 200, headers: Mapping[str, str] = {}) -> Answer:
    body = json.dumps(value, default=str).encode()  # str: the dates in a card
    return Answer(body, status, {"Content-Type": "application/json", **headers})


def refuse(status: int, message: str, code: str | None = None, headers: Mapping[str, str] = {}) -> NoReturn:
    """Refuse as the real Hub does: its clients choose their exception by `code`, and show the message."""
    headers = {**headers, "X-Error-Message": message.encode("ascii", "replace").decode()}
    headers |= {"X-Error-Code": code} if code else {}
    raise Refusal(as_json({"error": message}, status, headers))


def blob_oid(data: bytes) -> str:
    """What git calls a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def lfs_oid(data: bytes) -> str:
    """What LFS calls a file."""
    return hashlib.sha256(data).hexdigest()


def card_data(readme: str) -> dict[str, Any] | None:
    """The YAML on top of a card, or None where there is none.

    Raises:
        yaml.YAMLError: If it is no YAML, or no mapping.
    """
    block = re.match(r"\s*---\r?\n(.*?)^---\s*?$", readme, re.DOTALL | re.MULTILINE)
    data = yaml.safe_load(block[1]) if block else None
    if data is not None and not isinstance(data, dict):
        raise yaml.YAMLError("the metadata of a card must be a mapping")
    return data


def listing(files: Mapping[str, bytes], folder: str, recursive: bool) -> list[dict[str, Any]]:
    """The files and folders below `folder`, as the tree endpoint describes them."""
    start = f"{folder}/" if folder else ""
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
    return [
        {
            "type": "directory" if name in folders else "file",
            "path": name,
            "oid": blob_oid(files.get(name, name.encode())),
            "size": len(files.get(name, b"")),
        }
        for name in sorted(name for name in (*folders, *files) if name.startswith(start))
        if recursive or "/" not in name.removeprefix(start)
    ]


ROUTES: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = []


def route(method: str, pattern: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Let a function answer such requests; it gets the groups of `pattern`, and the repository that they name."""

    def add(function: Callable[..., Answer]) -> Callable[..., Answer]:
        ROUTES.append((method, re.compile(pattern), function))
        return function

    return add


class Connection(BaseHTTPRequestHandler):
    """What one client asks, request after request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body leave apart: one would wait for the other's acknowledgement
    timeout = 60  # for a client that neither asks nor hangs up
    server: "LoopbackHub"

    def answer(self) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.server.requests.append((self.command, unquote(url.path)))
        length = int(self.headers.get("Content-Length", 0))
        if re.fullmatch(f"{API}/commit/[^/]+", url.path) and self.server.breaks("commit"):
            self.rfile.read(length // 2)
            raise ConnectionAbortedError
        self.body = self.rfile.read(length)
        if len(self.body) < length:
            raise ConnectionAbortedError
        try:
            answer = self.dispatch(url.path)
        except Refusal as refusal:
            answer = refusal.answer
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
        self.close_connection |= answer.cut

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def dispatch(self, path: str) -> Answer:
        method = "GET" if self.command == "HEAD" else self.command
        for wanted, pattern, function in ROUTES:
            if wanted == method and (match := pattern.fullmatch(path)):
                groups = {name: unquote(text or "") for name, text in match.groupdict().items()}
                if "id" in groups:
                    kind = groups.pop("kind").removesuffix("s/") or "model"
                    groups["repository"] = self.permit(kind, groups.pop("id"), write=method != "GET")
                return function(self, **groups)
        refuse(404, f"The loopback Hub does not serve {method} {path}")

    @property
    def user(self) -> User | None:
        return self.server.tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def permit(self, kind: str, repo_id: str, write: bool) -> Repository:
        """The repository, if the token allows it; a private one is no different from none at all."""
        repository = self.server.repositories.get((kind, repo_id))
        rights = self.rights(repo_id.split("/")[0])
        if repository is None or (repository.private and "read" not in rights):
            refuse(404 if self.user else 401, "Repository not found", "RepoNotFound")
        if write and "write" not in rights:
            self.forbid("RepoNotFound")
        return repository

    def rights(self, namespace: str) -> frozenset[str]:
        return self.user.rights if self.user and self.user.name == namespace else frozenset()

    def forbid(self, code_without_token: str | None = None) -> NoReturn:
        if self.user is None:
            refuse(401, "Invalid username or password.", code_without_token)
        refuse(403, "Forbidden: this token has no write permission here")

    def link(self, repository: Repository) -> str:
        return f"{self.server.url}/{PREFIXES[repository.kind]}{repository.id}"

    def refuse_pull_request(self) -> None:
        if "create_pr" in self.query:
            refuse(400, "The loopback Hub has no pull requests: push to a branch instead")

    @route("GET", "/api/whoami-v2")
    def whoami(self) -> Answer:
        if self.user is None:
            refuse(401, "Invalid credentials in Authorization header")
        role = "write" if "write" in self.user.rights else "read"
        auth = {"type": "access_token", "accessToken": {"displayName": role, "role": role}}
        return as_json({"type": "user", "name": self.user.name, "fullname": self.user.name, "orgs": [], "auth": auth})

    @route("POST", "/api/validate-yaml")
    def validate_yaml(self) -> Answer:
        try:
            data = card_data(json.loads(self.body)["content"])
        except yaml.YAMLError as error:
            return as_json({"errors": [{"message": f"Invalid YAML: {error}"}], "warnings": []}, 400)
        warnings = [] if data else [{"message": "empty or missing yaml metadata in repo card"}]
        return as_json({"errors": [], "warnings": warnings})

    def named(self) -> tuple[str, str]:
        """The kind and id in the body of a request to create or delete; whoever may not write there is refused."""
        asked = json.loads(self.body)
        namespace = asked.get("organization") or (self.user.name if self.user else "")
        if "write" not in self.rights(namespace):
            self.forbid()
        return asked.get("type", "model"), f"{namespace}/{asked['name']}"

    @route("POST", "/api/repos/create")
    def create_repository(self) -> Answer:
        key = self.named()
        with self.server.lock:
            status = 409 if key in self.server.repositories else 200
            private = json.loads(self.body).get("visibility") == "private"
            repository = self.server.repositories.setdefault(key, Repository(*key, private))
        answer = {"url": self.link(repository), "name": repository.id}
        return as_json(answer if status == 200 else {**answer, "error": "You already created this repository"}, status)

    @route("DELETE", "/api/repos/delete")
    def delete_repository(self) -> Answer:
        if self.server.repositories.pop(self.named(), None) is None:
            refuse(404, "Repository not found", "RepoNotFound")
        return Answer(b"")

    @route("GET", f"{API}(?:/revision/(?P<revision>[^/]+))?")
    def information(self, repository: Repository, revision: str) -> Answer:
        commit = repository.at(revision or "main")
        try:
            card = card_data(commit.files.get("README.md", b"").decode()) or {}
        except yaml.YAMLError:
            card = {}
        siblings = [
            {"rfilename": path, **({"size": len(data), "blobId": blob_oid(data)} if "blobs" in self.query else {})}
            for path, data in sorted(commit.files.items())
        ]
        answer = {"id": repository.id, "author": repository.id.split("/")[0], "sha": commit.oid, "siblings": siblings}
        answer |= {"private": repository.private, "gated": "manual" if repository.gated else False, "disabled": False}
        answer |= {"createdAt": repository.history("main")[-1].date, "lastModified": commit.date}
        answer |= {key: card[key] for key in ("library_name", "pipeline_tag", "sdk") if key in card}
        return as_json({**answer, "cardData": card, "tags": card.get("tags") or []})

    @route("GET", f"{API}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.+))?")
    def tree(self, repository: Repository, revision: str, folder: str) -> Answer:
        commit = repository.at(revision)
        recursive = self.query.get("recursive", ["false"])[0].lower() in ("1", "true")
        entries = listing(commit.files, folder, recursive)
        if folder and not entries:
            refuse(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        return as_json(entries)

    @route("GET", f"{API}/commits/(?P<revision>[^/]+)")
    def commits(self, repository: Repository, revision: str) -> Answer:
        authors = [{"user": repository.id.split("/")[0]}]
        return as_json(
            [
                {"id": commit.oid, "title": commit.message, "message": "", "date": commit.date, "authors": authors}
                for commit in repository.history(revision)
            ]
        )

    @route("GET", f"{API}/refs")
    def refs(self, repository: Repository) -> Answer:
        def described(folder: str, names: Mapping[str, str]) -> list[dict[str, str]]:
            return [{"name": n, "ref": f"refs/{folder}/{n}", "targetCommit": oid} for n, oid in names.items()]

        branches, tags = described("heads", repository.branches), described("tags", repository.tags)
        return as_json({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})

    @route("POST", f"{API}/branch/(?P<branch>[^/]+)")
    def create_branch(self, repository: Repository, branch: str) -> Answer:
        start = repository.at(json.loads(self.body).get("startingPoint", "main"))
        return self.point(repository.branches, branch, start)

    @route("POST", f"{API}/tag/(?P<revision>[^/]+)")
    def create_tag(self, repository: Repository, revision: str) -> Answer:
        return self.point(repository.tags, json.loads(self.body)["tag"], repository.at(revision))

    def point(self, names: dict[str, str], name: str, commit: Commit) -> Answer:
        with self.server.lock:
            if name in names:
                refuse(409, f"Reference already exists: {name}")
            names[name] = commit.oid
        return Answer(b"")

    @route("POST", f"{API}/preupload/(?P<revision>[^/]+)")
    def preupload(self, repository: Repository, revision: str) -> Answer:
        self.refuse_pull_request()
        there = repository.at(revision).files
        return as_json({"files": [upload_mode(file["path"], there) for file in json.loads(self.body)["files"]]})

    @route("POST", rf"{PAGE}\.git/info/lfs/objects/batch")
    def offer_objects(self, repository: Repository) -> Answer:
        objects = json.loads(self.body)["objects"]
        for entry in objects:
            if entry["oid"] not in self.server.objects:
                entry["actions"] = {"upload": {"href": f"{self.server.url}/objects/{entry['oid']}"}}
        return as_json({"objects": objects})

    @route("PUT", "/objects/(?P<oid>[0-9a-f]{64})")
    def store_object(self, oid: str) -> Answer:
        if lfs_oid(self.body) != oid:
            refuse(400, f"What arrived is not {oid}")
        self.server.objects[oid] = self.body
        return Answer(b"")

    @route("POST", f"{API}/commit/(?P<branch>[^/]+)")
    def commit(self, repository: Repository, branch: str) -> Answer:
        self.refuse_pull_request()
        header, *operations = [json.loads(line) for line in self.body.splitlines()]
        with self.server.slow_commit or nullcontext(), self.server.lock:
            if self.client_left():
                raise ConnectionAbortedError
            if branch not in repository.branches:
                refuse(404, f"Invalid rev id: {branch}", "RevisionNotFound")
            head = repository.at(branch)
            if header["value"].get("parentCommit", head.oid) != head.oid:
                refuse(412, "A commit has happened since. Please refresh and try again.")
            files = dict(head.files)
            for operation in operations:
                apply(operation["key"], operation["value"], files, self.server.objects)
            commit = repository.commit(branch, header["value"]["summary"], files)
        url = f"{self.link(repository)}/commit/{commit.oid}"
        return as_json({"success": True, "commitOid": commit.oid, "commitUrl": url})

    def client_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    @route("GET", f"{PAGE}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
    def resolve(self, repository: Repository, revision: str, path: str) -> Answer:
        if repository.gated and "read" not in self.rights(repository.id.split("/")[0]):
            refuse(403 if self.user else 401, f"Access to {repository.id} is restricted", "GatedRepo")
        commit = repository.at(revision)
        if path not in commit.files:
            refuse(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": commit.oid})
        data = commit.files[path]
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob_oid(data)}"', "Accept-Ranges": "bytes"}
        status = 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and int(asked[1]) < len(data):
            start, end = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            data, status = data[start : end + 1], 206
        return Answer(data, status, headers, cut=self.command == "GET" and self.server.breaks("download", path))

    def log_message(self, format: str, *arguments: object) -> None:
        """Silence: `LoopbackHub.requests` remembers."""


def upload_mode(path: str, there: Mapping[str, bytes]) -> dict[str, Any]:
    """How a client is to send a file, and the hash of what is there: it does not send the same again."""
    mode, name = ("lfs", lfs_oid) if path.endswith(".parquet") else ("regular", blob_oid)
    oid = name(there[path]) if path in there else None
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}


def apply(operation: str, value: dict[str, Any], files: dict[str, bytes], objects: Mapping[str, bytes]) -> None:
    """Change `files` by one line of a commit."""
    path = value["path"]
    match operation:
        case "file":
            files[path] = base64.b64decode(value["content"])
        case "lfsFile" if value["oid"] in objects:
            files[path] = objects[value["oid"]]
        case "deletedFile" if path in files:
            del files[path]
        case "deletedFile":
            refuse(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        case "deletedFolder":
            for name in [name for name in files if name.startswith(path.rstrip("/") + "/")]:
                del files[name]
        case _:
            refuse(400, f"The loopback Hub cannot do {operation} to {path}")


class Gate:
    """Where a commit waits when all of it has arrived, until the test opens it.

    Attributes:
        arrived: A commit waits.
        opened: For the test to set.
        passed: The commit is stored, or forgotten because its client left.
    """

    def __init__(self) -> None:
        self.arrived, self.opened, self.passed = threading.Event(), threading.Event(), threading.Event()

    def __enter__(self) -> None:
        self.arrived.set()
        self.opened.wait(60)  # a test that failed never opens it

    def __exit__(self, *exception: object) -> None:
        self.passed.set()


class LoopbackHub(ThreadingHTTPServer):
    """A Hub on a free port of 127.0.0.1, from `with` until the end of its block.

    Attributes:
        url: What `HF_ENDPOINT` has to be.
        tokens: The users, by token: "writer" and "reader" belong to `me`, "stranger" writes elsewhere.
        repositories: By kind ("model", "dataset" or "space") and id; `private` and `gated` may be set on them.
        requests: Method and path of everything that was asked, in order.
        slow_commit: Put a `Gate` here, and commits wait at it.
    """

    request_queue_size = 64  # as many clients as `snapshot_download` has threads, and more
    daemon_threads = False  # to leave the `with` block is to wait for what is still being answered

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.tokens = {
            "writer": User("me", frozenset({"read", "write"})),
            "reader": User("me", frozenset({"read"})),
            "stranger": User("stranger", frozenset({"read", "write"})),
        }
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}  # by their LFS name: no file of a repository until a commit says so
        self.requests: list[tuple[str, str]] = []
        self.slow_commit: Gate | None = None
        self.lock = threading.Lock()
        self._faults: list[tuple[str, str | None]] = []

    def __enter__(self) -> "LoopbackHub":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.slow_commit is not None:
            self.slow_commit.opened.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients that leave are part of the tests
            super().handle_error(request, address)

    def break_next(self, request: Literal["commit", "download"], path: str | None = None) -> None:
        """Hang up once in the middle of the next `"commit"`, or of the next `"download"` of `path`."""
        self._faults.append((request, path))

    def breaks(self, request: str, path: str | None = None) -> bool:
        with self.lock:
            if broken := (request, path) in self._faults:
                self._faults.remove((request, path))
        return broken

    def repository(self, repo_id: str, kind: str = "model") -> Repository:
        return self.repositories[kind, repo_id]

    def files(self, repo_id: str, revision: str = "main", kind: str = "model") -> dict[str, bytes]:
        """What the repository holds, `.gitattributes` included: the real Hub puts it there as well."""
        return dict(self.repository(repo_id, kind).at(revision).files)

    def commits(self, repo_id: str, kind: str = "model") -> list[Commit]:
        """The history of main, newest first, down to the "initial commit" that every repository starts with."""
        return self.repository(repo_id, kind).history("main")

    def put(self, repo_id: str, files: Mapping[str, bytes], message: str = "Put", kind: str = "model") -> Commit:
        """Commit `files` to main without asking anyone, on top of what is there; create the repository if need be."""
        with self.lock:
            repository = self.repositories.setdefault((kind, repo_id), Repository(kind, repo_id))
            return repository.commit("main", message, {**repository.at("main").files, **files})
