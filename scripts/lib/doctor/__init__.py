"""What scripts/doctor.py looks at: this machine, data, trainings."""
