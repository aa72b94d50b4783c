"""One-pass models outside of fairseq and torch: one ONNX graph from source tokens to translations.

``graph`` is the model and its decoding as one torch module, ``onnx_export`` writes it, ``runtime`` translates with what
was written and needs numpy and onnxruntime alone.
"""

from nat_plugin.serving.runtime import OnnxTranslator

__all__ = ["OnnxTranslator"]
