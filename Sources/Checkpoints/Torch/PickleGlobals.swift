import Tensors

/// The classes and functions that pickles may name.
///
/// Decant looks up no names and calls nothing. It builds the values of a few known names itself,
/// treats values of other names as opaque objects, and refuses names that only malicious files
/// need.
enum PickleGlobals {
  /// Modules without data types.
  private static let harmful: Set<String> = [
    "os", "posix", "nt", "subprocess", "sys", "runpy", "shutil", "socket", "pty", "commands",
    "popen2", "ctypes", "_ctypes", "importlib", "imp", "code", "codeop", "pickle", "_pickle",
    "cPickle", "dill", "cloudpickle", "marshal", "pdb", "bdb", "timeit", "cProfile", "profile",
    "webbrowser", "http", "urllib", "urllib2", "requests", "asyncio", "multiprocessing",
    "threading", "_thread", "signal", "platform", "pip", "pkgutil", "inspect", "operator",
    "_operator", "ftplib", "smtplib", "telnetlib", "ssl", "zipimport", "builtins", "__builtin__",
    "__builtins__", "types", "functools",
  ]

  /// Data types in those modules.
  private static let harmless: Set<String> = [
    "builtins.set", "builtins.frozenset", "builtins.dict", "builtins.list", "builtins.tuple",
    "builtins.int", "builtins.float", "builtins.complex", "builtins.bool", "builtins.str",
    "builtins.bytes", "builtins.bytearray", "builtins.object", "builtins.slice", "builtins.range",
    "builtins.type", "builtins.Ellipsis", "builtins.NotImplemented", "types.SimpleNamespace",
    "functools.partial",
  ]

  /// Functions of other modules that run code.
  private static let harmfulNames: Set<String> = [
    "torch.load", "torch.hub", "torch.jit.load", "torch.compile", "torch.utils.cpp_extension",
    "numpy.load", "numpy.testing._private.utils.runstring", "numpy.testing.runstring",
    "joblib.load", "shelve.open", "io.open", "_io.open", "_io.FileIO", "io.FileIO",
  ]

  /// Refuses names that only malicious files need.
  static func check(module: String, name: String) throws(PickleFault) {
    let whole = "\(module).\(name)"
    let root = String(module.split(separator: ".").first ?? "")
    // The name of `builtins` in Python 2, which protocols 0 to 2 write.
    let today = root == "__builtin__" ? "builtins.\(name)" : whole
    if harmful.contains(root), !harmless.contains(today) { throw .runsCode(whole) }
    if harmfulNames.contains(where: { whole == $0 || whole.hasPrefix($0 + ".") }) {
      throw .runsCode(whole)
    }
    // Dotted names such as `builtins.type.mro` reach other objects from a harmless one.
    if name.contains("__") && name != "__main__" { throw .runsCode(whole) }
  }

  static let dictionaries: Set<String> = [
    "collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict",
  ]

  /// The known calls, whose values Decant builds itself.
  enum Maker {
    case dictionary
    /// Arguments: storage, offset, extents, strides, and ignored ones.
    case tensor
    /// The same with an element type as the seventh argument.
    case tensorWithKind
    /// Arguments: a tensor, and ignored ones.
    case parameter
    /// Arguments: a function that builds a tensor, and its arguments.
    case subclass
    /// Arguments: a tuple of integers.
    case size
    case opaque
  }

  static func maker(_ name: String) throws(PickleFault) -> Maker {
    if dictionaries.contains(name) { return .dictionary }
    switch name {
    case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2": return .tensor
    case "torch._utils._rebuild_tensor_v3": return .tensorWithKind
    case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
      return .parameter
    case "torch._tensor._rebuild_from_type_v2", "torch._tensor._rebuild_from_type":
      return .subclass
    case "torch.Size": return .size
    default:
      if name.hasPrefix("torch._utils._rebuild_") { throw .unknownTensor(name) }
      return .opaque
    }
  }

  /// The element type of a storage class, such as `torch.cuda.HalfStorage`. The inner `nil` stands
  /// for a storage of plain bytes, the outer for another class.
  static func storageKind(_ name: String) -> ElementKind?? {
    let parts = name.split(separator: ".")
    guard let last = parts.last, parts.first == "torch" else { return nil }
    guard
      ["torch", "torch.cuda", "torch.storage"].contains(parts.dropLast().joined(separator: "."))
    else { return nil }
    if last == "UntypedStorage" { return .some(nil) }
    return storages[String(last)].map { .some($0) }
  }

  private static let storages: [String: ElementKind] = [
    "FloatStorage": .f32, "DoubleStorage": .f64, "HalfStorage": .f16, "BFloat16Storage": .bf16,
    "LongStorage": .i64, "IntStorage": .i32, "ShortStorage": .i16, "CharStorage": .i8,
    "ByteStorage": .u8, "BoolStorage": .bool, "ComplexFloatStorage": .c64,
  ]

  /// The element type of a PyTorch type, such as `torch.float8_e4m3fn`.
  static func elementKind(_ name: String) -> ElementKind? { kinds[name] }

  private static let kinds: [String: ElementKind] = [
    "torch.float32": .f32, "torch.float64": .f64, "torch.float16": .f16, "torch.bfloat16": .bf16,
    "torch.int64": .i64, "torch.int32": .i32, "torch.int16": .i16, "torch.int8": .i8,
    "torch.uint8": .u8, "torch.bool": .bool, "torch.complex64": .c64, "torch.uint16": .u16,
    "torch.uint32": .u32, "torch.uint64": .u64, "torch.float8_e4m3fn": .f8e4m3,
    "torch.float8_e5m2": .f8e5m2, "torch.float8_e4m3fnuz": .f8e4m3fnuz,
    "torch.float8_e5m2fnuz": .f8e5m2fnuz, "torch.float8_e8m0fnu": .f8e8m0,
  ]
}
