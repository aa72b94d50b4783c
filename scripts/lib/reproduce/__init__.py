"""Tables and figures of the papers, reproduced from their descriptions in configs/recipes."""
