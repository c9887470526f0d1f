"""The names of torch's calls by what they do; `call_name` of `recipe.rewiring` gives the name of a call."""

WEIGHTED = frozenset(
    [
        "linear",
        "bilinear",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
    ]
)
RECURRENT = frozenset(
    ["lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"]
)
RECTIFIERS = frozenset(
    [
        "relu",
        "relu6",
        "leaky_relu",
        "prelu",
        "elu",
        "selu",
        "celu",
        "gelu",
        "silu",
        "mish",
        "rrelu",
        "threshold",
    ]
)
BOUNDED = {
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, float("inf")),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, float("inf")),
    "exp": (0.0, float("inf")),
    "logsigmoid": (float("-inf"), 0.0),
    "log_softmax": (float("-inf"), 0.0),
}
SHAPING = frozenset(
    [
        "view",
        "reshape",
        "flatten",
        "squeeze",
        "unsqueeze",
        "permute",
        "transpose",
        "t",
        "contiguous",
        "expand",
        "expand_as",
        "repeat",
        "cat",
        "stack",
        "getitem",
        "setitem",
        "select",
        "narrow",
        "split",
        "chunk",
        "unbind",
        "to",
        "float",
        "type",
        "type_as",
        "clone",
        "unflatten",
        "movedim",
        "swapaxes",
        "roll",
        "dropout",
        "dropout1d",
        "dropout2d",
        "dropout3d",
        "feature_dropout",
        "alpha_dropout",
        "identity",
        "pad",
        "requires_grad_",
        "detach",
        "data",
        "cuda",
        "cpu",
        "view_as",
        "reshape_as",
        "mt",
        "tensor_split",
        "tile",
        "repeat_interleave",
        "gather",
        "index_select",
        "flip",
    ]
)
LINEAR = SHAPING | frozenset(
    [
        "add",
        "sub",
        "neg",
        "radd",
        "rsub",
        "iadd",
        "isub",
        "mean",
        "sum",
        "batch_norm",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "interpolate",
        "upsample",
        "fold",
        "unfold",
        "cumsum",
    ]
)
SCALING = frozenset(["mul", "div", "rmul", "truediv", "rtruediv", "imul", "idiv", "itruediv"])
MATMUL = frozenset(["matmul", "rmatmul", "mm", "bmm", "addmm", "baddbmm", "einsum"])
LOSS_NAMES = {
    "cross_entropy": "cross_entropy",
    "nll_loss": "nll",
    "binary_cross_entropy": "bce",
    "binary_cross_entropy_with_logits": "bce_with_logits",
    "mse_loss": "mse",
    "l1_loss": "l1",
    "huber_loss": "huber",
    "smooth_l1_loss": "huber",
}
OVER_AN_AXIS = frozenset(
    [
        "softmax",
        "log_softmax",
        "softmin",
        "mean",
        "sum",
        "prod",
        "cumsum",
        "std",
        "var",
        "max",
        "min",
        "amax",
        "amin",
        "median",
        "logsumexp",
    ]
)
LEAVING = frozenset(["item", "numpy", "tolist", "float", "array"])
POOLING = frozenset(
    f"{adaptive}{how}_pool{n}d" for adaptive in ("", "adaptive_") for how in ("max", "avg") for n in (1, 2, 3)
)
NORMALISING = frozenset(["batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize"])
TELLING = (
    WEIGHTED
    | RECTIFIERS
    | frozenset(BOUNDED)
    | POOLING
    | NORMALISING
    | (MATMUL - {"rmatmul"})
    | frozenset(["add", "iadd", "cat", "scaled_dot_product_attention", "attention"])
    | frozenset(["embedding", "interpolate"])
)  # what is worth a row where it stands in `forward` as a function
