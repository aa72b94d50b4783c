#!/usr/bin/env bash
# Guo et al. 2020, Figure 1: configs/recipes/jm_nat_figure1.yaml. Options: scripts/reproduce.py --help
exec "$(dirname "${BASH_SOURCE[0]}")/../reproduce.py" jm_nat_figure1 "$@"
