#!/usr/bin/env bash
# Gu & Kong 2021, Figure 5: configs/recipes/gu_kong_figure5.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" gu_kong_figure5 "$@"
