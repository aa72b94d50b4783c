#!/usr/bin/env bash
# Haviv et al. 2021, Figure 2: configs/recipes/haviv_figure2.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" haviv_figure2 "$@"
