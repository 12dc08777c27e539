"""What is known to behave the same on MicroPython; everything else is an error.

Checked behind the passes, so that what they replace needs no entry here.
"""

import ast

from batmon.drivers.module import Module, last_name, module_names

# Modules of the board that drivers may import whole, with the names they may use of them.
MODULES = {
    "asyncio": {
        "CancelledError",
        "Event",
        "Lock",
        "create_task",
        "sleep",
        "wait_for",
    },
}
# Names that may be imported from modules of the board.
IMPORTS = {
    "bleak": {"BleakClient"},
    "bleak.backends.characteristic": {"BleakGATTCharacteristic"},
    "bleak.backends.device": {"BLEDevice"},
    "bleak.backends.scanner": {"AdvertisementData"},
    "bleak.exc": {"BleakCharacteristicNotFoundError", "BleakError"},
    "bleak.uuids": {"normalize_uuid_str"},
    "math": {"isfinite"},
    "struct": {"unpack_from"},
}
# Modules of which only constants are used; their values are taken on the PC.
CONSTANT_MODULES = {"string", "bleak_retry_connector"}
# Names that exist on the board under another name.
RENAMED = {
    ("json", "JSONDecodeError"): "ValueError",
    ("json", "loads"): "json_loads",
    ("struct", "error"): "ValueError",
    ("contextlib", "suppress"): "suppress",
    ("itertools", "takewhile"): "takewhile",
    ("statistics", "fmean"): "exact_mean",
    ("zlib", "crc32"): "crc32",
    ("functools", "lru_cache"): "once",
    ("functools", "cache"): "once",
}
RENAMED_MODULES = {"contextlib"}
RENAMED_BUILTINS = {"UnicodeDecodeError": "UnicodeError"}
# Helpers that the passes bring in, and the module of the board that has them.
HELPERS = {
    **dict.fromkeys(
        (
            "ConnectionError",
            "cut",
            "decoded",
            "is_printable",
            "once",
            "same",
            "signed_from_bytes",
        ),
        "aiobmsble.compat",
    ),
    **dict.fromkeys(
        (
            "as_float",
            "div10",
            "div100",
            "div1000",
            "exact_add",
            "exact_div",
            "exact_mean",
            "exact_mul",
            "exact_round",
            "exact_sub",
            "exact_sum",
            "int10",
            "int100",
            "int1000",
            "quotient",
            "trunc",
        ),
        "aiobmsble.exact",
    ),
    "OrderedDict": "collections",
    "TimeoutError": "asyncio",
    "crc32": "binascii",
    "namedtuple": "collections",
}

# Helpers that are copied into the modules that call them, from the runtime's compat_more.py.
COPIED = {
    "ConnectionRefusedError",
    "PermissionError",
    "bit_count",
    "clear_bytes",
    "count_of",
    "decoded_leniently",
    "encoded",
    "enum_member",
    "every_nth",
    "int_base",
    "is_instance",
    "json_loads",
    "suppress",
    "takewhile",
    "translated",
    "unix_time",
    "without_prefix",
    "without_suffix",
    "without_zeros_behind",
    "zip_strict",
}

BUILTINS = set(
    "abs all any bool bytearray bytes chr dict enumerate float frozenset getattr int isinstance "
    "iter len list max min next ord range set sorted staticmethod classmethod property str sum "
    "super tuple type const True False None object AssertionError AttributeError EOFError "
    "Exception IndexError KeyError NotImplementedError OSError OverflowError StopIteration "
    "TypeError UnicodeError ValueError ZeroDivisionError slice".split()
)

# Methods of builtin types, of asyncio's objects and of the bleak client.
METHODS = set(
    # text, bytes
    "endswith find format fromhex from_bytes hex isdigit join lower removesuffix replace rfind "
    "rstrip split startswith strip to_bytes upper "
    # list, dict, set, bytearray
    "add append clear copy discard extend get issubset issuperset items keys pop remove "
    "setdefault sort update values "
    # asyncio and the client
    "cancel disconnect done get_characteristic get_service is_set locked read_gatt_char set "
    "start_notify stop_notify wait write_gatt_char "
    # log, and what the runtime's base class offers
    "error exception warning __init__".split()
)

NODES = {
    getattr(ast, label)
    for label in (
        "Module FunctionDef AsyncFunctionDef ClassDef Return Delete Assign AugAssign For While If "
        "With AsyncWith Raise Try Import ImportFrom Expr Pass Break Continue BoolOp NamedExpr "
        "BinOp UnaryOp Lambda IfExp Dict Set ListComp SetComp DictComp GeneratorExp Await Compare "
        "Call Constant Attribute Subscript Name List Tuple Slice Starred Load Store Del And Or "
        "Add Sub Mult Div Mod Pow LShift RShift BitOr BitXor BitAnd FloorDiv Invert Not UAdd USub "
        "Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn comprehension ExceptHandler arguments arg "
        "keyword alias withitem"
    ).split()
}


def check(module: Module) -> None:
    """Refuse every node, builtin, method and name that is not known; Unsupported says where."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    known = BUILTINS | COPIED | set(HELPERS) | imported | set(module.constants)
    known |= module_names(module.tree)
    for node in ast.walk(module.tree):
        if type(node) not in NODES:
            raise module.refuse(node, type(node).__name__)
        if isinstance(node, ast.Name) and node.id not in known:
            raise module.refuse(node, f"unknown name {node.id}")
        if isinstance(node, ast.Attribute):
            _check_attribute(module, node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            _check_method(module, node)
        if isinstance(node, ast.Starred) and not isinstance(node.ctx, ast.Load):
            raise module.refuse(node, "starred assignment")
        if isinstance(node, ast.Constant) and node.value is Ellipsis:
            raise module.refuse(node, "Ellipsis")


def _check_attribute(module: Module, node: ast.Attribute) -> None:
    if node.attr.startswith("__") and node.attr not in {"__init__", "__name__", "__class__"}:
        raise module.refuse(node, f"attribute {node.attr}")
    owner = node.value.id if isinstance(node.value, ast.Name) else ""
    if owner in MODULES and node.attr not in MODULES[owner]:
        raise module.refuse(node, f"{owner}.{node.attr}")


def _wanted(module: Module, node: ast.Call) -> object:
    return module.constant(node.args[0]) if node.args else None


def _check_method(module: Module, node: ast.Call) -> None:
    label = node.func.attr
    if label in {"find", "rfind"} and not isinstance(_wanted(module, node), bytes | str):
        raise module.refuse(node, f"{label}() of what may be a number")
    if label in METHODS or label in module.tables.functions or label in module.tables.tuples:
        return
    fields = {field for names, _ in module.tables.tuples.values() for field in names}
    if label in fields or last_name(node.func.value) in MODULES:
        return
    raise module.refuse(node, f"method {label}()")
