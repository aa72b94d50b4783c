"""How figures of time and memory are taken, and what is said of the machine beside them."""
