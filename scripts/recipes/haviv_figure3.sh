#!/usr/bin/env bash
# Haviv et al. 2021, Figure 3: configs/recipes/haviv_figure3.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" haviv_figure3 "$@"
