"""The composable non-autoregressive transformer and its presets."""
