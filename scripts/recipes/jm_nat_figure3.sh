#!/usr/bin/env bash
# Guo et al. 2020, Figure 3: configs/recipes/jm_nat_figure3.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" jm_nat_figure3 "$@"
