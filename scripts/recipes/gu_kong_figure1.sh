#!/usr/bin/env bash
# Gu & Kong 2021, Figure 1: configs/recipes/gu_kong_figure1.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" gu_kong_figure1 "$@"
