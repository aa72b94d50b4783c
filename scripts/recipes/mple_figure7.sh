#!/usr/bin/env bash
# Huang et al. 2022, Figure 7: configs/recipes/mple_figure7.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" mple_figure7 "$@"
