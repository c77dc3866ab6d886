"""Makes the pickles that the tests of this folder read, with Python's standard
library alone: python3 make.py. Modules of torch are empty shells here, because
a pickle only names them."""

import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile

here = os.path.dirname(os.path.abspath(__file__))


def shell(module, *names):
    m = sys.modules.get(module) or types.ModuleType(module)
    sys.modules[module] = m
    for name in names:
        cls = type(name, (), {"__module__": module, "__qualname__": name})
        if name.startswith("_"):
            def fn(*args):
                return args
            fn.__module__, fn.__qualname__, fn.__name__ = module, name, name
            cls = fn
        setattr(m, name, cls)
    if "." in module:
        parent, child = module.rsplit(".", 1)
        shell(parent)
        setattr(sys.modules[parent], child, m)


shell("torch", "FloatStorage", "HalfStorage")
shell("torch._utils", "_rebuild_tensor_v2")
shell("torch.nn.modules.conv", "Conv2d")
shell("ultralytics.nn.tasks", "DetectionModel")
shell("evil.tools", "Thing")


class Storage:
    def __init__(self, key, n):
        self.key, self.n = key, n


class Tensor:
    def __init__(self, key, n):
        self.storage = Storage(key, n)
        self.n = n

    def __reduce__(self):
        fn = sys.modules["torch._utils"]._rebuild_tensor_v2
        return fn, (self.storage, 0, (self.n,), (1,), False, collections.OrderedDict())


class Torch(pickle.Pickler):
    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", sys.modules["torch"].FloatStorage, obj.key, "cpu", obj.n)
        return None


def dumps(obj, protocol, cls=Torch):
    b = io.BytesIO()
    cls(b, protocol).dump(obj)
    return b.getvalue()


class Call:
    def __init__(self, fn, *args):
        self.fn, self.args = fn, args

    def __reduce__(self):
        return self.fn, self.args


def archive(pkl, **more):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w", zipfile.ZIP_STORED) as z:
        z.writestr("archive/data.pkl", pkl)
        z.writestr("archive/byteorder", "little")
        z.writestr("archive/data/0", b"\0" * 16)
        z.writestr("archive/version", "3\n")
        for name, content in more.items():
            z.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return b.getvalue()


def legacy(obj):
    out = b""
    for part in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
        out += pickle.dumps(part, 2)
    out += dumps(obj, 2) + pickle.dumps(["0"], 2)
    return out + struct.pack("<q", 4) + b"\0" * 16


def save(kind, name, content):
    folder = os.path.join(here, kind)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(content)


state = collections.OrderedDict(weight=Tensor("0", 4))
yolo = {"model": sys.modules["ultralytics.nn.tasks"].DetectionModel(), "names": {0: "face"}}
yolo["model"].conv = sys.modules["torch.nn.modules.conv"].Conv2d()
evil = {"weight": Call(os.system, "true")}

for protocol in range(6):
    save("good", f"plain{protocol}.pkl", pickle.dumps({"a": [1, 2.5, "x", b"y", None, True, (1,), 2**70]}, protocol))
    save("bad", f"system{protocol}.pkl", pickle.dumps(evil, protocol))
save("good", "state.pt", archive(dumps(state, 2)))
save("good", "state4.pt", archive(dumps(state, 4)))
save("good", "legacy.pth", legacy(state))
save("good", "yolo.pt", archive(dumps(yolo, 2)))
save("bad", "system.ckpt", archive(dumps(evil, 2)))
save("bad", "legacy.ckpt", legacy(evil))
save("bad", "class.pt", archive(dumps({"x": sys.modules["evil.tools"].Thing()}, 4)))
save("bad", "builtins.pt", archive(dumps({"x": Call(eval, "1")}, 4)))
save("bad", "getattr.pt", archive(dumps({"x": Call(getattr, 1, "real")}, 2)))
save("bad", "code.pt", archive(dumps(state, 2), archive__code___torch___dot_py="x"))
save("bad", "nested.pt", archive(dumps(state, 2), archive__more_dot_zip=archive(dumps(evil, 2))))
save("bad", "second.pt", archive(dumps(state, 2), other__data_dot_pkl=dumps(evil, 2)))
twice = archive(dumps(state, 2))
with io.BytesIO(twice) as b:
    with zipfile.ZipFile(b, "a") as z:
        import warnings
        warnings.simplefilter("ignore")
        z.writestr("archive/data.pkl", dumps(evil, 2))
    save("bad", "twice.pt", b.getvalue())
good = archive(dumps(state, 2))
at = good.index(b"weight")
save("bad", "crc.pt", good[:at] + b"weighT" + good[at + 6:])
save("bad", "cut.pt", good[:-30])
save("bad", "tail.pt", good + b"more")
save("bad", "comment.pt", good[:-2] + b"\x04\x00more")
# Names that are only put together while loading.
save("bad", "memo.pkl", b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x04true\x85R.")
save("bad", "escape.pkl", b"\x80\x04S'\\x6fs'\nS'system'\n\x93\x8c\x04true\x85R.")
save("bad", "hidden.pkl", b"\x80\x04c_codecs\nencode\n\x8c\x02os\x85R\x8c\x06system\x93.")
save("bad", "inst.pkl", b"(S'true'\nios\nsystem\n.")
save("bad", "extension.pkl", b"\x80\x02\x82\x01.")
save("bad", "dotted.pkl", b"\x80\x04\x8c\x0bcollections\x8c\x10OrderedDict.clear\x93.")
save("bad", "patch.pkl", b"\x80\x04ctorch._utils\n_rebuild_tensor_v2\nN}\x8c\x01a\x8c\x01bs\x86b.")
save("bad", "two.pkl", pickle.dumps(1) + pickle.dumps(evil))
save("bad", "stack.pkl", b"\x80\x04R.")
save("bad", "cut.pkl", pickle.dumps(yolo, 4)[:-1])
save("bad", "noise.pkl", bytes(range(256)))
# A tar header whose first bytes are a legacy file: torch would open the tar.
head = legacy(state)[:100].ljust(512, b"\0")
head = head[:124] + b"00000000000\0" + head[136:]
total = sum(head[:148]) + 8 * 32 + sum(head[156:])
save("bad", "tar.pth", head[:148] + b"%06o\0 " % total + head[156:])
# And one that is both.
blob = bytearray(legacy({"x": b"\0" * 600}))
start = 3
body = bytearray(pickle.dumps(0x1950A86A20F9469CFC6C, 2))
pad = pickle.dumps(b"\0" * 600, 3)
both = bytearray(body + pickle.dumps(1001, 2) + pad + pickle.dumps({}, 2) + pickle.dumps([], 2))
both[124:136] = b"00000000000\0"
total = sum(both[:148]) + 8 * 32 + sum(both[156:512])
both[148:156] = b"%06o\0 " % total
save("bad", "both.pth", bytes(both))
