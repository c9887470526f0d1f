"""The field numbers and types of caffe.proto that networks are made of, as one table.

A line is a field: number, name, type; `*` behind the type means repeated. Types are protobuf's own, a
message's name, or an enum's name. `floats` and `doubles` are repeated numbers read as one array. Fields of a
file that are not in the table are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

ENUMS: Mapping[str, Mapping[str, int]] = {
    "Phase": {"TRAIN": 0, "TEST": 1},
    "PoolMethod": {"MAX": 0, "AVE": 1, "STOCHASTIC": 2},
    "RoundMode": {"CEIL": 0, "FLOOR": 1},
    "EltwiseOp": {"PROD": 0, "SUM": 1, "MAX": 2},
    "NormRegion": {"ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1},
    "ReductionOp": {"SUM": 1, "ASUM": 2, "SUMSQ": 3, "MEAN": 4},
    "V1Type": {
        "NONE": 0,
        "ACCURACY": 1,
        "BNLL": 2,
        "CONCAT": 3,
        "CONVOLUTION": 4,
        "DATA": 5,
        "DROPOUT": 6,
        "EUCLIDEAN_LOSS": 7,
        "FLATTEN": 8,
        "HDF5_DATA": 9,
        "HDF5_OUTPUT": 10,
        "IM2COL": 11,
        "IMAGE_DATA": 12,
        "INFOGAIN_LOSS": 13,
        "INNER_PRODUCT": 14,
        "LRN": 15,
        "MULTINOMIAL_LOGISTIC_LOSS": 16,
        "POOLING": 17,
        "RELU": 18,
        "SIGMOID": 19,
        "SOFTMAX": 20,
        "SOFTMAX_LOSS": 21,
        "SPLIT": 22,
        "TANH": 23,
        "WINDOW_DATA": 24,
        "ELTWISE": 25,
        "POWER": 26,
        "SIGMOID_CROSS_ENTROPY_LOSS": 27,
        "HINGE_LOSS": 28,
        "MEMORY_DATA": 29,
        "ARGMAX": 30,
        "THRESHOLD": 31,
        "DUMMY_DATA": 32,
        "SLICE": 33,
        "MVN": 34,
        "ABSVAL": 35,
        "SILENCE": 36,
        "CONTRASTIVE_LOSS": 37,
        "EXP": 38,
        "DECONVOLUTION": 39,
    },
}

_SHARED_SETTINGS = {  # field: (number in LayerParameter, number in V1LayerParameter or None, message)
    "argmax_param": (103, 23, "ArgMaxParameter"),
    "batch_norm_param": (139, None, "BatchNormParameter"),
    "bias_param": (141, None, "BiasParameter"),
    "concat_param": (104, 9, "ConcatParameter"),
    "convolution_param": (106, 10, "ConvolutionParameter"),
    "crop_param": (144, None, "CropParameter"),
    "dropout_param": (108, 12, "DropoutParameter"),
    "eltwise_param": (110, 24, "EltwiseParameter"),
    "elu_param": (140, None, "ELUParameter"),
    "embed_param": (137, None, "EmbedParameter"),
    "exp_param": (111, 41, "ExpParameter"),
    "flatten_param": (135, None, "FlattenParameter"),
    "inner_product_param": (117, 17, "InnerProductParameter"),
    "input_param": (143, None, "InputParameter"),
    "log_param": (134, None, "LogParameter"),
    "lrn_param": (118, 18, "LRNParameter"),
    "mvn_param": (120, 34, "MVNParameter"),
    "parameter_param": (145, None, "ParameterParameter"),
    "permute_param": (202, None, "PermuteParameter"),
    "pooling_param": (121, 19, "PoolingParameter"),
    "power_param": (122, 21, "PowerParameter"),
    "prelu_param": (131, None, "PReLUParameter"),
    "recurrent_param": (146, None, "RecurrentParameter"),
    "reduction_param": (136, None, "ReductionParameter"),
    "relu_param": (123, 30, "ReLUParameter"),
    "reshape_param": (133, None, "ReshapeParameter"),
    "scale_param": (142, None, "ScaleParameter"),
    "slice_param": (126, 31, "SliceParameter"),
    "softmax_param": (125, 39, "SoftmaxParameter"),
    "threshold_param": (128, 25, "ThresholdParameter"),
    "tile_param": (138, None, "TileParameter"),
}

_TABLE = {
    "NetParameter": "1 name string, 3 input string*, 8 input_shape BlobShape*, 4 input_dim int32*, "
    "100 layer LayerParameter*, 2 layers V1LayerParameter*",
    "LayerParameter": "1 name string, 2 type string, 3 bottom string*, 4 top string*, 10 phase Phase, "
    "5 loss_weight float*, 6 param ParamSpec*, 7 blobs BlobProto*, 8 include NetStateRule*, "
    "9 exclude NetStateRule*, "
    + ", ".join(f"{new} {name} {kind}" for name, (new, _, kind) in _SHARED_SETTINGS.items()),
    "V1LayerParameter": "2 bottom string*, 3 top string*, 4 name string, 5 type V1Type, 6 blobs BlobProto*, "
    "1001 param string*, 32 include NetStateRule*, 33 exclude NetStateRule*, "
    + ", ".join(f"{old} {name} {kind}" for name, (_, old, kind) in _SHARED_SETTINGS.items() if old),
    "BlobShape": "1 dim int64*",
    "BlobProto": "7 shape BlobShape, 5 data floats, 8 double_data doubles, 1 num int32, 2 channels int32, "
    "3 height int32, 4 width int32",
    "ParamSpec": "1 name string, 3 lr_mult float, 4 decay_mult float",
    "NetStateRule": "1 phase Phase, 2 min_level int32, 3 max_level int32, 4 stage string*, "
    "5 not_stage string*",
    "ArgMaxParameter": "1 out_max_val bool, 2 top_k uint32, 3 axis int32",
    "BatchNormParameter": "1 use_global_stats bool, 2 moving_average_fraction float, 3 eps float",
    "BiasParameter": "1 axis int32, 2 num_axes int32",
    "ConcatParameter": "2 axis int32, 1 concat_dim uint32",
    "ConvolutionParameter": "1 num_output uint32, 2 bias_term bool, 3 pad uint32*, 4 kernel_size uint32*, "
    "6 stride uint32*, 18 dilation uint32*, 9 pad_h uint32, 10 pad_w uint32, 11 kernel_h uint32, "
    "12 kernel_w uint32, 13 stride_h uint32, 14 stride_w uint32, 5 group uint32, 16 axis int32, "
    "17 force_nd_im2col bool",
    "CropParameter": "1 axis int32, 2 offset uint32*",
    "DropoutParameter": "1 dropout_ratio float",
    "EltwiseParameter": "1 operation EltwiseOp, 2 coeff float*",
    "ELUParameter": "1 alpha float",
    "EmbedParameter": "1 num_output uint32, 2 input_dim uint32, 3 bias_term bool",
    "ExpParameter": "1 base float, 2 scale float, 3 shift float",
    "FlattenParameter": "1 axis int32, 2 end_axis int32",
    "InnerProductParameter": "1 num_output uint32, 2 bias_term bool, 5 axis int32, 6 transpose bool",
    "InputParameter": "1 shape BlobShape*",
    "LogParameter": "1 base float, 2 scale float, 3 shift float",
    "LRNParameter": "1 local_size uint32, 2 alpha float, 3 beta float, 4 norm_region NormRegion, 5 k float",
    "MVNParameter": "1 normalize_variance bool, 2 across_channels bool, 3 eps float",
    "ParameterParameter": "1 shape BlobShape",
    "PermuteParameter": "1 order uint32*",
    "PoolingParameter": "1 pool PoolMethod, 4 pad uint32, 9 pad_h uint32, 10 pad_w uint32, "
    "2 kernel_size uint32, 5 kernel_h uint32, 6 kernel_w uint32, 3 stride uint32, 7 stride_h uint32, "
    "8 stride_w uint32, 12 global_pooling bool, 13 round_mode RoundMode",
    "PowerParameter": "1 power float, 2 scale float, 3 shift float",
    "PReLUParameter": "2 channel_shared bool",
    "RecurrentParameter": "1 num_output uint32, 5 expose_hidden bool",
    "ReductionParameter": "1 operation ReductionOp, 2 axis int32, 3 coeff float",
    "ReLUParameter": "1 negative_slope float",
    "ReshapeParameter": "1 shape BlobShape, 2 axis int32, 3 num_axes int32",
    "ScaleParameter": "1 axis int32, 2 num_axes int32, 4 bias_term bool",
    "SliceParameter": "3 axis int32, 2 slice_point uint32*, 1 slice_dim uint32",
    "SoftmaxParameter": "2 axis int32",
    "ThresholdParameter": "1 threshold float",
    "TileParameter": "1 axis int32, 2 tiles int32",
}


@frozen
class Field:
    """A field of a message: its number on the wire, its type's name, whether it may come more than once."""

    number: int
    name: str
    kind: str
    repeated: bool


def _fields(text: str) -> tuple[Field, ...]:
    parts = (part.split() for part in text.split(", "))
    return tuple(
        Field(int(number), name, kind.rstrip("*"), kind.endswith("*")) for number, name, kind in parts
    )


MESSAGES: Mapping[str, tuple[Field, ...]] = {name: _fields(text) for name, text in _TABLE.items()}
BY_NUMBER: Mapping[str, Mapping[int, Field]] = {
    name: {field.number: field for field in fields} for name, fields in MESSAGES.items()
}
ENUM_WORDS: Mapping[str, Mapping[int, str]] = {
    enum: {number: word for word, number in words.items()} for enum, words in ENUMS.items()
}
