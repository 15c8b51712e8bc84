"""Copies all files of a sink into a folder, for readers that are tried on folders only."""

import argparse

import pyarrow.fs

import verify

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--to", required=True)
verify.target_arguments(parser)
options = parser.parse_args()
filesystem, root = verify.open_root(options)
pyarrow.fs.copy_files(
    root, options.to, source_filesystem=filesystem, destination_filesystem=pyarrow.fs.LocalFileSystem()
)
