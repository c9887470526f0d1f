"""What Caffe and PyTorch are known to do differently; each is shown by a test of its name."""

from __future__ import annotations

from netwright.ports.difference import Difference

_POOLING = ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_SOURCE = "https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto"


def _of(id: str, operators: tuple[str, ...], what: str, remedy: str, handled: str = "") -> Difference:
    return Difference(f"caffe-{id}", ("caffe",), operators, what, remedy, handled, source=_SOURCE)


DIFFERENCES: tuple[Difference, ...] = (
    _of(
        "pooling-rounding",
        _POOLING,
        "Caffe rounds the size of a pooled image up, PyTorch down",
        "ceil_mode=True where the network may be trained anew",
        "the row or column too many is cut off by a Slice layer",
    ),
    _of(
        "pooling-round-mode",
        _POOLING,
        "round_mode: FLOOR is known to later builds of Caffe only, and OpenCV's importer stumbles over it",
        "leave it out of files for OpenCV",
        "it is not used; a Slice layer cuts instead",
    ),
    _of(
        "pooling-last-window",
        _POOLING,
        "with padding, Caffe drops a window that would start behind the image; without padding it keeps it",
        "choose a stride not above the kernel",
        "both are followed in reading and in writing",
    ),
    _of(
        "pooling-average-divisor",
        ("avg_pool1d", "avg_pool2d"),
        "Caffe counts the padding in an average, as PyTorch does unless count_include_pad=False",
        "count_include_pad=True",
        "another divisor is a Scale layer with a factor for each pixel",
    ),
    _of(
        "batch-norm-factor",
        ("batch_norm",),
        "Caffe keeps sums of mean and variance in three blobs, the last what they are divided by",
        "write 1 as the third blob",
        "the factor is applied in reading, and 1 is written",
    ),
    _of(
        "batch-norm-scale",
        ("batch_norm",),
        "Caffe's BatchNorm only normalises; weight and bias are a Scale layer behind it",
        "write two layers",
        "a batch norm becomes BatchNorm and Scale",
    ),
    _of(
        "batch-norm-eps",
        ("batch_norm",),
        "old tools leave eps at Caffe's own 1e-5",
        "write the network's eps",
        "eps is written for every BatchNorm",
    ),
    _of(
        "lrn-alpha",
        ("local_response_norm", "avg_pool3d", "div"),
        "Caffe divides the alpha of a response norm by its size, and so does PyTorch; older papers do not",
        "divide the paper's alpha yourself",
        "alpha is written as it is",
    ),
    _of(
        "lrn-k",
        ("local_response_norm", "avg_pool3d", "div"),
        "OpenCV's importer takes the k of a response norm for 1",
        "use k=1",
        "k is taken out of the bracket and becomes a Power layer",
    ),
    _of(
        "lrn-even-size",
        ("local_response_norm", "avg_pool3d", "div"),
        "Caffe's response norm takes odd sizes only",
        "use an odd size",
        "an even size is written out as a convolution over channels and a power",
    ),
    _of(
        "softmax-axis",
        ("softmax", "log_softmax"),
        "Caffe's Softmax runs along axis 1 unless told otherwise",
        "name the axis",
        "the axis is written for every Softmax",
    ),
    _of(
        "softmax-logarithm",
        ("log_softmax",),
        "Caffe has no log of a softmax; the Log of its Softmax is -inf where a class is very unlikely",
        "take the logarithm in double precision",
        "it is written as x - max - log(sum of exponentials)",
    ),
    _of(
        "dropout-scaling",
        ("dropout",),
        "none: both scale what is kept in training and pass their input through at test",
        "nothing to do",
        "Dropout is written as a layer, for whoever trains on in Caffe",
    ),
    _of(
        "mvn-eps",
        ("instance_norm", "group_norm", "layer_norm"),
        "Caffe's MVN adds eps behind the square root, PyTorch's norms inside of it",
        "use batch norm where the network may be trained anew",
        "norms are put together from MVN without variance, a pooling and a Power layer",
    ),
    _of(
        "deconvolution-dilation",
        ("conv_transpose1d", "conv_transpose2d"),
        "OpenCV's importer does not dilate deconvolutions",
        "use dilation=1",
        "the kernel is written with its zeros",
    ),
    _of(
        "padding-uneven",
        ("pad", "conv2d", "conv1d"),
        "Caffe pads both sides of an axis alike, and only in front of a convolution or a pooling",
        "pad evenly",
        "more is padded by a 1 × 1 convolution and cut off by a Slice layer",
    ),
    _of(
        "interpolation",
        ("upsample_bilinear2d", "upsample_bicubic2d", "upsample_nearest2d"),
        "Caffe has no interpolation that every build knows; a deconvolution darkens the border",
        "enlarge by repeating pixels",
        "it is written as a linear map of each axis",
    ),
    _of(
        "lstm-gates",
        ("lstm", "gru", "rnn_tanh", "rnn_relu"),
        "Caffe's LSTM orders its gates i, f, o, g, PyTorch's i, f, g, o; OpenCV's importer has none",
        "keep sequences short",
        "recurrent layers are written out step by step",
    ),
    _of(
        "products",
        ("matmul", "bmm", "baddbmm", "scaled_dot_product_attention"),
        "Caffe multiplies by matrices of weights only, not two activations with each other",
        "keep sequences short: a product of T rows, S columns and D terms each takes T · S · D values, twice",
        "one factor is repeated, a Scale layer multiplies it by the other, a convolution with ones sums",
    ),
    _of(
        "weights-as-activations",
        ("cat", "stack"),
        "Caffe's Parameter layer gives its weights once, not for each input of a batch",
        "add weights to an activation",
        "weights that are joined to an activation are the bias of an inner product with zeros",
    ),
    _of(
        "comparisons",
        _COMPARISONS,
        "Caffe compares by Threshold alone, which says where a number is greater",
        "compare numbers that an embedding looks up too",
        "those are compared by a table, which an Embed layer looks up",
    ),
    _of(
        "opencv-missing-layers",
        ("embedding", "argmax", *_COMPARISONS),
        "OpenCV's importer lacks Bias, Tile, Threshold, Reduction, Embed and ArgMax, which Caffe has",
        "run the port with a real Caffe, or look numbers up before the network",
    ),
    _of(
        "outputs",
        (),
        "Caffe's outputs are the blobs that no layer takes",
        "return values that the network does not use itself",
        "an output that is taken is passed on by one more layer, and blobs that nobody wants are silenced",
    ),
)
