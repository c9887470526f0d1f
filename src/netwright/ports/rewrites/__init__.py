"""Operators that a technology lacks, in terms of those that it has, the function kept: one file a family."""

from netwright.ports.rewrites.activations import ELU, GELU, MISH, SOFTPLUS, SOFTSIGN
from netwright.ports.rewrites.call import Call, Instead, Rewrite
from netwright.ports.rewrites.parts import PARTS
from netwright.ports.rewrites.pooling import ADAPTIVE_POOLING, AVERAGE_POOLING
from netwright.ports.rewrites.recurrent import AS_LAYER, GRU, LSTM, STATE
from netwright.ports.rewrites.response_norm import RESPONSE_NORM
from netwright.ports.rewrites.shapes import CIRCULAR, CONCATENATION
from netwright.ports.rewrites.tokens import TOKENS
from netwright.ports.rewrites.transposed import TRANSPOSED

REWRITES = {
    one.id: one
    for one in (
        RESPONSE_NORM, GELU, ELU, MISH, SOFTPLUS, SOFTSIGN, AVERAGE_POOLING, LSTM, GRU, AS_LAYER, PARTS,
        ADAPTIVE_POOLING, STATE, CONCATENATION, CIRCULAR, TRANSPOSED, TOKENS,
    )
}  # fmt: skip

__all__ = ["REWRITES", "Call", "Instead", "Rewrite"]
