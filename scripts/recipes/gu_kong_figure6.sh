#!/usr/bin/env bash
# Gu & Kong 2021, Figure 6: configs/recipes/gu_kong_figure6.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" gu_kong_figure6 "$@"
