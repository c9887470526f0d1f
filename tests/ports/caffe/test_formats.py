"""Prototxt and caffemodel: what is written is read again, and no file, however hostile, does harm."""

import math
import re
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from netwright.ports.caffe import read
from netwright.ports.caffe.caffemodel import (
    array_of,
    blob_of,
    decode,
    encode,
    read_caffemodel,
    write_caffemodel,
)
from netwright.ports.caffe.network import network_of, read_network, weights_of
from netwright.ports.caffe.prototxt import Message, Word, message, parse, read_prototxt, text_of
from netwright.ports.caffe.schema import ENUMS, MESSAGES
from netwright.values import UserError

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)
WORDS = st.from_regex(r"[A-Z][A-Z_0-9]{0,6}", fullmatch=True).filter(
    lambda w: w not in ("INF", "NAN", "INFINITY")
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    WORDS.map(Word),
)
MESSAGES_OF_ANY_SHAPE = st.recursive(
    st.dictionaries(NAMES, st.lists(SCALARS, min_size=1, max_size=3), max_size=4).map(Message),
    lambda inner: st.dictionaries(
        NAMES, st.lists(st.one_of(SCALARS, inner), min_size=1, max_size=3), max_size=3
    ).map(Message),
    max_leaves=8,
)


def plain(value):
    """A message as nested lists, with the types that equality would let pass."""
    if isinstance(value, Message):
        return {name: [plain(one) for one in values] for name, values in value.fields.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return type(value).__name__, value


@given(MESSAGES_OF_ANY_SHAPE)
@settings(deadline=None)
def test_a_message_survives_being_written_as_text(original):
    assert plain(parse(text_of(original))) == plain(original)


def test_every_form_of_text_that_caffe_reads_is_read():
    text = """
    # a comment
    name: 'it' "'s \\x41\\102\\n"  # two strings in a row are one
    layer { type: "Pooling" pooling_param: { pool: MAX, kernel_size: 0x3; stride: 010 } }
    layer < pad: [1, 2, 3] axis: -1 scale: -.5e-1f shift: inf >
    flag: true other: [TRAIN] none: []
    """
    read = parse(text)
    first, second = read.all("layer")
    assert read.last("name") == "it's AB\n"
    assert read.last("flag") is True
    assert read.all("other") == (Word("TRAIN"),)
    assert first.line == 4
    assert plain(first.last("pooling_param")) == plain(message(pool=Word("MAX"), kernel_size=3, stride=8))
    assert second.all("pad") == (1, 2, 3)
    assert (second.last("axis"), second.last("scale"), second.last("shift")) == (-1, -0.05, math.inf)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("name: 'a'\nlayer {", 2, "the end of the file"),
        ("a: 1\nb 2", 2, "':' or '{' is expected"),
        ("a: }", 1, "a value is expected, not '}'"),
        ("\n\n{", 3, "a field's name is expected, not '{'"),
        ("a: 'open\n", 1, "cannot read"),
        ("a: -b", 1, "a number is expected"),
        ("a: 99999999999999999999", 1, "64 bits"),
        ("a: 12abc", 1, "cannot read"),
    ],
)
def test_text_that_is_wrong_is_named_with_its_line(text, line, what):
    with pytest.raises(UserError) as raised:
        parse(text, "net.prototxt")
    assert (raised.value.file, raised.value.line) == ("net.prototxt", line)
    assert what in raised.value.message


def test_text_nested_without_end_is_one_sentence():
    with pytest.raises(UserError, match="nested deeper"):
        parse("a{" * 100_000)


def test_messages_without_end_are_one_sentence():
    with pytest.raises(UserError, match="more than 200,000 messages"):
        parse("a{}" * 200_001)


def test_a_caffemodel_is_not_taken_for_text(tmp_path):
    path = tmp_path / "net.prototxt"
    write_caffemodel(message(layer=[message(name="a", blobs=[blob_of(np.full(9, -1.5))])]), path)
    with pytest.raises(UserError, match="is it a caffemodel"):
        read_prototxt(path)


# The wire ----------------------------------------------------------------------------------------------


def values_of(field, depth):
    kind = field.kind
    if kind in MESSAGES:
        return messages_of(kind, depth + 1)
    if kind in ENUMS:
        return st.sampled_from(sorted(ENUMS[kind])).map(Word)
    return {
        "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
        "bool": st.booleans(),
        "float": st.floats(width=32, allow_nan=False),
        "int32": st.integers(-(2**31), 2**31 - 1),
        "int64": st.integers(-(2**63), 2**63 - 1),
        "uint32": st.integers(0, 2**32 - 1),
        "floats": st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5).map(
            lambda numbers: np.array(numbers, "<f4")
        ),
        "doubles": st.lists(st.floats(allow_nan=False), min_size=1, max_size=5).map(
            lambda numbers: np.array(numbers, "<f8")
        ),
    }[kind]


@st.composite
def messages_of(draw, kind, depth=0):
    fields = draw(st.lists(st.sampled_from(MESSAGES[kind]), max_size=3 if depth < 3 else 0, unique=True))
    found = {}
    for field in fields:
        count = draw(st.integers(1, 2)) if field.repeated else 1
        found[field.name] = [draw(values_of(field, depth)) for _ in range(count)]
    return Message(found)


@given(messages_of("NetParameter"))
@settings(max_examples=200, deadline=None)
def test_a_network_survives_the_wire(original):
    again = decode(b"".join(bytes(piece) for piece in encode(original)))
    assert plain(again) == plain(original)


def varint(number):
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def tagged(field, wire, body):
    return varint(field << 3 | wire) + (varint(len(body)) if wire == 2 else b"") + body


def test_weights_look_into_the_file_and_are_not_copied(tmp_path):
    path = tmp_path / "net.caffemodel"
    weights = np.arange(1_000_000, dtype=np.float32).reshape(1000, 1000)
    write_caffemodel(message(layer=[message(name="a", blobs=[blob_of(weights)])]), path)
    tracemalloc.start()
    (found,) = weights_of(read_caffemodel(path), "net")["a"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found == weights).all()
    assert peak < 100_000


def test_numbers_that_each_carry_their_key_are_read_as_one_view():
    numbers = [1.5, -2.0, 3.25]
    loose = b"".join(tagged(5, 5, struct.pack("<f", number)) for number in numbers)
    blob = (
        loose
        + tagged(1, 0, varint(1))
        + tagged(2, 0, varint(3))
        + tagged(3, 0, varint(1))
        + tagged(4, 0, varint(1))
    )
    assert array_of(decode(blob, kind="BlobProto")).tolist() == [[[[1.5]], [[-2.0]], [[3.25]]]]


def test_doubles_and_numbers_in_several_pieces_are_read():
    pieces = tagged(8, 2, struct.pack("<2d", 1, 2)) + tagged(8, 2, struct.pack("<d", 3))
    assert array_of(decode(pieces, kind="BlobProto")).tolist() == [1, 2, 3]


def test_fields_that_are_not_known_are_skipped():
    layer = tagged(1, 2, b"a") + tagged(999, 2, b"???") + tagged(998, 0, varint(7)) + tagged(997, 5, b"1234")
    read = decode(tagged(100, 2, layer) + tagged(77, 1, b"12345678"))
    assert plain(read) == plain(message(layer=message(name="a")))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (tagged(100, 2, b"")[:-1], "a number is cut off"),
        (varint(100 << 3 | 2) + varint(1 << 60) + b"short", "bytes are announced"),
        (b"\xff" * 30, "longer than ten bytes"),
        (varint(50 << 3 | 3), "wire type 3"),
        (varint(2), "field number 0"),
        (tagged(1, 0, varint(5)), "name is no string"),
        (tagged(100, 2, tagged(7, 2, tagged(5, 2, b"abc"))), "data is no floats"),
        (tagged(100, 2, tagged(7, 2, varint(5 << 3 | 5) + b"ab")), "cut off"),
    ],
)
def test_a_damaged_caffemodel_is_one_sentence(data, what):
    with pytest.raises(UserError, match=what) as raised:
        decode(data, "net.caffemodel")
    assert raised.value.file == "net.caffemodel"


@pytest.mark.parametrize("sizes", [(1 << 40, 1 << 40), (-1, -6), (7,), (1,) * 40])
def test_a_blob_whose_shape_does_not_fit_its_numbers_allocates_nothing(sizes):
    blob = Message({"shape": [message(dim=list(sizes))], "data": [np.zeros(6, np.float32)]})
    with pytest.raises(UserError, match="layer 'a': a blob of shape"):
        weights_of(message(layer=[message(name="a", blobs=[blob])]), "net.caffemodel")


def small_network():
    weights = blob_of(np.random.default_rng(0).normal(size=(4, 3, 3, 3)))
    convolution = message(num_output=4, kernel_size=3)
    layers = [
        message(name="data", type="Input", top="data", input_param=message(shape=message(dim=[1, 3, 8, 8]))),
        message(
            name="c",
            type="Convolution",
            bottom="data",
            top="c",
            blobs=[weights],
            convolution_param=convolution,
        ),
        message(
            name="p",
            type="Pooling",
            bottom="c",
            top="p",
            pooling_param=message(pool=Word("AVE"), kernel_size=2),
        ),
    ]
    return message(name="small", layer=layers)


def small_text():
    """The small network's prototxt, which has no weights."""
    layers = [
        message(**{k: list(v) for k, v in one.fields.items() if k != "blobs"})
        for one in small_network().all("layer")
    ]
    return text_of(message(name="small", layer=layers))


def survives(read, data):
    """Reads hostile data; what it costs is bounded by the data's size, and what it raises is ours."""
    tracemalloc.start()
    try:
        read(data)
    except UserError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak <= 10 * len(data) + 200_000


def test_no_truncation_of_a_caffemodel_does_harm():
    whole = b"".join(bytes(piece) for piece in encode(small_network()))
    for end in range(len(whole)):
        survives(lambda data: weights_of(decode(data), "net"), whole[:end])


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_flipped_bit_of_a_caffemodel_does_harm(data):
    whole = bytearray(b"".join(bytes(piece) for piece in encode(small_network())))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    survives(lambda hostile: weights_of(decode(hostile), "net"), bytes(whole))


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_bytes_at_all_do_harm(data):
    survives(lambda hostile: weights_of(decode(hostile), "net"), data)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_altered_prototxt_does_harm(data):
    text = small_text()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(
            st.sampled_from(["", "{", "}", "-1", "1e99", ":", '"', "9" * 30, "layer", "\x00", "["])
        )
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 3)) :]
    survives(lambda hostile: network_of(parse(hostile), "net"), text)


TYPES = (
    *("ReLU", "Slice", "Concat", "Flatten", "Reshape", "Crop", "Permute", "LSTM", "Scale", "Bias", "PReLU"),
    *(
        "Softmax",
        "Reduction",
        "ArgMax",
        "Tile",
        "MVN",
        "Embed",
        "Pooling",
        "LRN",
        "BatchNorm",
        "InnerProduct",
    ),
    *("Deconvolution", "Eltwise", "Split", "Normalize", "Power", "Exp"),
)
NUMBERS = ("0", "-1", "1", "2", "7", "1e9", "4294967295", "0.5", "99999")


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_network_with_altered_settings_is_read_or_refused(data, tmp_path):
    """Any layer in any place, with any numbers: a module comes out, or one sentence."""
    lines = small_text().splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        lines[at] = re.sub(r"\d+", lambda _: data.draw(st.sampled_from(NUMBERS)), lines[at])
        lines[at] = re.sub(r'type: ".*"', lambda _: f'type: "{data.draw(st.sampled_from(TYPES))}"', lines[at])
        if data.draw(st.booleans()):
            del lines[at]
    path, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    path.write_text("\n".join(lines))
    write_caffemodel(small_network(), weights)
    try:
        assert isinstance(read(path, data.draw(st.sampled_from([weights, None]))), nn.Module)
    except UserError as error:
        assert error.file == "net.prototxt"


def test_messages_without_end_in_a_caffemodel_are_one_sentence():
    with pytest.raises(UserError, match="more than 200,000 messages"):
        decode(tagged(100, 2, b"") * 200_001)


def test_a_network_that_settings_make_enormous_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 100000 } } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "d" top: "ip" '
        "inner_product_param { num_output: 2000000000 } }"
    )
    with pytest.raises(UserError, match=r"layer 'ip' .*weights"):
        read(path)
    assert read_network(path).outputs == ("ip",)
