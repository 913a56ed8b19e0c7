#!/usr/bin/env bash
# Segments the images of many folders with one segmenter:
#
#   bash examples/predict_many.sh cells.safetensors results plate-1 plate-2 ...
#
# Each folder gets masks (OME-Zarr), confidence and a table of its objects below results/<its name>. Call it
# again after an interruption: what is there is kept, and an image that was begun is gone on with.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: predict_many.sh SEGMENTER OUTPUT FOLDER..." >&2
    exit 1
fi
segmenter=$1 output=$2
shift 2

failed=()
for folder in "$@"; do
    echo "== $folder"
    threestage predict "$segmenter" --images "$folder" --output "$output/$(basename "$folder")" \
        --as ome-zarr --confidence --statistics || failed+=("$folder")
done
if [ ${#failed[@]} -gt 0 ]; then
    printf 'Not everything could be predicted in: %s\n' "${failed[*]}" >&2
    exit 1
fi
