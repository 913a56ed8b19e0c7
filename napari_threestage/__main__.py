"""`python -m napari_threestage` is the same program as `threestage`."""

import sys

from napari_threestage.cli import main

if __name__ == "__main__":
    sys.exit(main())
