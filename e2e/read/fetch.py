"""Copies all data files of a sink into a folder, for readers that are tried on folders only."""

import argparse
import pathlib

import verify

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--to", required=True, type=pathlib.Path)
verify.target_arguments(parser)
options = parser.parse_args()
filesystem, root = verify.open_root(options)
for key, path in verify.data_files(filesystem, root):
    copy = options.to / key
    copy.parent.mkdir(parents=True, exist_ok=True)
    with filesystem.open_input_stream(path) as file:
        copy.write_bytes(file.read())
