import Checkpoints
import Support
import Tensors
import TestSupport
import Testing

/// The message of the error for a PyTorch file. Reads its tensors as well.
func torchRefusal(_ bytes: [UInt8]) -> String {
  message {
    let file = try TorchFile(ByteSlice(bytes), path: "f")
    for name in file.names { _ = try file.tensor(name) }
  }
}

/// Malicious pickles: no code runs, and the cost is bounded by the size of the file.
struct PickleHostileTests {
  private static let good = Pickle.tensor(Pickle.storage(count: 2), [2], [1])

  /// The message of the error for a file with this dictionary.
  private func refusal(_ pickle: [UInt8], storages: [(key: String, bytes: [UInt8])] = []) -> String
  {
    torchRefusal(torchFile(pickle, storages: storages))
  }

  static func runs(_ name: String) -> String {
    "the file calls '\(name)', which would run code when Python loads it; no checkpoint needs that, and Decant did not run it"
  }

  // MARK: Code

  @Test(arguments: [
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("subprocess", "Popen"),
    ("subprocess", "check_output"), ("builtins", "eval"), ("builtins", "exec"),
    ("builtins", "getattr"), ("builtins", "__import__"), ("builtins", "open"),
    ("__builtin__", "eval"), ("__builtin__", "apply"), ("__builtin__", "compile"),
    ("runpy", "_run_code"), ("sys", "exit"), ("shutil", "rmtree"), ("socket", "create_connection"),
    ("pickle", "loads"), ("_pickle", "loads"), ("marshal", "loads"), ("types", "FunctionType"),
    ("importlib", "import_module"), ("os.path", "join"), ("webbrowser", "open"),
    ("operator", "attrgetter"), ("functools", "reduce"), ("torch", "load"),
    ("torch.hub", "load"), ("torch.utils.cpp_extension", "load_inline"),
    ("numpy.testing._private.utils", "runstring"), ("ctypes", "CDLL"), ("timeit", "timeit"),
    ("torch", "nn.__init__"), ("collections", "OrderedDict.__reduce__"),
  ])
  func namesThatRunCodeAreRefused(module: String, name: String) {
    let text = "f: archive/data.pkl, byte 2: " + Self.runs("\(module).\(name)")
    // The name is refused whether it is called, instantiated or only pushed.
    #expect(refusal(Pickle.call(module, name, [Pickle.text("echo")])) == text)
    #expect(refusal(Pickle.global(module, name) + Pickle.tuple([]) + [0x81]) == text)
    #expect(refusal(Pickle.global(module, name)) == text)
    let byStack = Pickle.text(module) + Pickle.text(name) + [0x93]
    #expect(
      refusal(byStack + Pickle.tuple([]) + [UInt8(ascii: "R")]).hasSuffix(
        Self.runs("\(module).\(name)")))
  }

  @Test func namesThatRunCodeAreRefusedBesideTensors() {
    let pickle = Pickle.dictionary([
      ("a", Self.good), ("b", Pickle.call("os", "system", [Pickle.text("echo")])),
    ])
    #expect(
      refusal(pickle, storages: [("0", floatBytes([1, 2]))]).hasSuffix(Self.runs("os.system")))
  }

  /// Objects of other packages' classes are opaque.
  @Test func unknownNamesAreNeverCalled() throws {
    let unknown = [
      Pickle.call("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", []),
      Pickle.global("omegaconf.dictconfig", "DictConfig") + Pickle.tuple([]) + [0x81]
        + Pickle.dictionary([("lr", Pickle.int(1))]) + [UInt8(ascii: "b")],
      Pickle.call("numpy.core.multiarray", "scalar", [Pickle.text("x")]),
      Pickle.call("builtins", "set", [Pickle.list([Pickle.int(1)])]),
      // Items of an unknown kind of list and dictionary.
      Pickle.call("my.module", "List", []) + Pickle.int(1) + [UInt8(ascii: "a")],
      Pickle.call("my.module", "Map", []) + Pickle.int(1) + Pickle.int(2) + [UInt8(ascii: "s")],
      Pickle.global("my.module", "Class"),
    ]
    for value in unknown {
      let bytes = torchFile(
        Pickle.dictionary([("a", Self.good), ("other", value)]),
        storages: [("0", floatBytes([1, 2]))])
      let file = try TorchFile(ByteSlice(bytes), path: "f")
      #expect(file.names == ["a"])
      #expect(try file.tensor("a").floats() == [1, 2])
      #expect(file.metadata["left_out"]?.object?.keys == ["other"])
    }
  }

  @Test(arguments: [
    ("i", "INST"), ("o", "OBJ"), ("2", "DUP"), ("I", "INT"), ("L", "LONG"), ("F", "FLOAT"),
    ("P", "PERSID"), ("S", "STRING"), ("V", "UNICODE"), ("d", "DICT"), ("g", "GET"),
    ("l", "LIST"), ("p", "PUT"), ("\u{82}", "EXT1"), ("\u{83}", "EXT2"), ("\u{84}", "EXT4"),
    ("\u{97}", "NEXT_BUFFER"), ("\u{98}", "READONLY_BUFFER"),
  ])
  func opcodesThatPyTorchNeverWritesAreRefused(opcode: String, name: String) throws {
    let byte = UInt8(try #require(opcode.unicodeScalars.first).value)
    #expect(
      refusal(Pickle.mark + [byte] + Array("os\nsystem\n".utf8))
        == "f: archive/data.pkl, byte 3: opcode \(name), which PyTorch never writes and Decant does not read"
    )
  }

  @Test func callsOfOtherValuesAreRefused() {
    let call = Pickle.text("os.system") + Pickle.tuple([]) + [UInt8(ascii: "R")]
    #expect(
      refusal(call).hasSuffix("opcode REDUCE finds a string, expected a class or function"))
    #expect(
      refusal(Pickle.global("a", "b") + Pickle.int(1) + [UInt8(ascii: "R")]).hasSuffix(
        "opcode REDUCE finds an integer, expected a tuple of arguments"))
    // The result of a call is an object, not a function.
    let twice = Pickle.call("a", "b", []) + Pickle.tuple([]) + [UInt8(ascii: "R")]
    #expect(
      refusal(twice).hasSuffix(
        "opcode REDUCE finds an object of 'a.b', expected a class or function"))
    #expect(
      refusal(Pickle.int(1) + Pickle.int(2) + [UInt8(ascii: "b")]).hasSuffix(
        "opcode BUILD finds an integer, expected an object"))
    #expect(
      refusal(Pickle.int(1) + Pickle.text("x") + [0x93]).hasSuffix(
        "opcode STACK_GLOBAL finds an integer and a string, expected two strings"))
  }

  // MARK: Memory and time

  @Test(arguments: [
    ([0x8b, 0xff, 0xff, 0xff, 0xff], "expected 4294967295 bytes, only 1 follow"),
    ([0x8a, 0xff], "expected 255 bytes, only 1 follow"),
    ([0x58, 0xff, 0xff, 0xff, 0x7f], "expected 2147483647 bytes, only 1 follow"),
    ([0x54, 0xff, 0xff, 0xff, 0x7f], "expected 2147483647 bytes, only 1 follow"),
    ([0x42, 0xff, 0xff, 0xff, 0x7f], "expected 2147483647 bytes, only 1 follow"),
    (
      [0x8d] + [UInt8](repeating: 0xff, count: 8),
      "expected 18446744073709551615 bytes, only 1 follow"
    ),
    (
      [0x8e] + [UInt8](repeating: 0xff, count: 8),
      "expected 18446744073709551615 bytes, only 1 follow"
    ),
    (
      [0x96] + [UInt8](repeating: 0xff, count: 8),
      "expected 18446744073709551615 bytes, only 1 follow"
    ),
    (
      [0x95] + [UInt8](repeating: 0xff, count: 8),
      "expected 18446744073709551615 bytes, only 1 follow"
    ),
  ])
  func lengthsBeyondTheFileAreRefused(bytes: [UInt8], found: String) {
    #expect(
      refusal(bytes)
        == "f: archive/data.pkl, byte 2: \(found); the file is incomplete or damaged")
  }

  @Test func largeMemoIndexesTakeNoMemory() throws {
    // Entry 4294967295 of the memo, written and read.
    let put: [UInt8] = [UInt8(ascii: "r"), 0xff, 0xff, 0xff, 0xff]
    let get: [UInt8] = [UInt8(ascii: "j"), 0xff, 0xff, 0xff, 0xff]
    let pickle = Pickle.dictionary([("a", Self.good), ("n", Pickle.int(7) + put), ("m", get)])
    let bytes = torchFile(pickle, storages: [("0", floatBytes([1, 2]))])
    #expect(try TorchFile(ByteSlice(bytes), path: "f").metadata["m"] == 7)
    #expect(
      refusal([UInt8(ascii: "j"), 1, 0, 0, 0]).hasSuffix(
        "entry 1 of the memo is used but was never written; the file is damaged"))
  }

  /// Each list contains the one before it ten times, which makes 10^40 values.
  @Test func repeatedlyNestedListsAreBounded() throws {
    var laughs = Pickle.list([Pickle.text("ha")])
    for _ in 0..<40 {
      laughs += [UInt8(ascii: "q"), 0, UInt8(ascii: "0")]
      laughs += Pickle.list([[UInt8]](repeating: [UInt8(ascii: "h"), 0], count: 10))
    }
    let bytes = torchFile(
      Pickle.dictionary([("a", Self.good), ("laughs", laughs)]),
      storages: [("0", floatBytes([1, 2]))])
    let file = try TorchFile(ByteSlice(bytes), path: "f")
    #expect(file.metadata == ["left_out": ["laughs": "a list"]])
  }

  /// The same with dictionaries, which are searched for tensors.
  @Test func repeatedlyNestedDictionariesAreRefused() {
    var laughs = Pickle.dictionary([("t", Self.good)])
    for _ in 0..<25 {
      laughs += [UInt8(ascii: "q"), 0, UInt8(ascii: "0")]
      laughs += Pickle.dictionary((0..<10).map { ("\($0)", [UInt8(ascii: "h"), 0]) })
    }
    #expect(
      refusal(laughs, storages: [("0", floatBytes([1, 2]))])
        == "f: dictionaries contain themselves; the file is damaged, or made to exhaust memory"
    )
  }

  @Test func valuesThatContainThemselvesAreBounded() throws {
    let (put, get) = (Self.put, Self.get)
    // A dictionary that is its own member.
    let dictionary =
      [UInt8(ascii: "}")] + put + Pickle.text("self") + get + [UInt8(ascii: "s")]
    #expect(
      refusal(dictionary)
        == "f: dictionaries contain themselves; the file is damaged, or made to exhaust memory"
    )
    // A list that is its own element, beside a tensor.
    let list = [UInt8(ascii: "]")] + put + get + [UInt8(ascii: "a")]
    let bytes = torchFile(
      Pickle.dictionary([("l", list), ("a", Self.good)]), storages: [("0", floatBytes([1, 2]))])
    #expect(
      try TorchFile(ByteSlice(bytes), path: "f").metadata == ["left_out": ["l": "a list"]])
  }

  /// A million nested tuples. Nothing recurses into them, not even their release.
  @Test func deeplyNestedValuesAreBounded() throws {
    let deep = Pickle.none + [UInt8](repeating: 0x85, count: 1_000_000)
    let bytes = torchFile(
      Pickle.dictionary([("deep", deep), ("a", Self.good)]),
      storages: [("0", floatBytes([1, 2]))])
    #expect(
      try TorchFile(ByteSlice(bytes), path: "f").metadata == ["left_out": ["deep": "a tuple"]])
    let marks = [UInt8](repeating: UInt8(ascii: "("), count: 1_000_000)
    #expect(
      refusal(marks)
        == "f: archive/data.pkl, byte 1000002: 0 values at its end, expected 1; the file is damaged"
    )
  }

  @Test func theNumberOfOpcodesIsLimited() {
    // NONE and POP leave the stack as it was.
    let pair: [UInt8] = [UInt8(ascii: "N"), UInt8(ascii: "0")]
    let pickle = (0..<2_000_000).flatMap { _ in pair }
    #expect(
      refusal(pickle).hasSuffix(
        "more than 4000000 opcodes, which no checkpoint needs; the file is damaged, or made to exhaust memory"
      ))
  }

  @Test func theLengthOfNamesIsLimited() {
    let name = String(repeating: "a", count: 1001)
    #expect(
      refusal(Pickle.global(name, "b")).hasSuffix(
        "a name of more than 1000 bytes; the file is damaged"))
    #expect(
      refusal(Pickle.text(name + name) + Pickle.text("b") + [0x93]).hasSuffix(
        "a name of more than 1000 bytes; the file is damaged"))
  }

  private static let put: [UInt8] = [UInt8(ascii: "q"), 0]
  private static let get: [UInt8] = [UInt8(ascii: "h"), 0]

  /// A short value that is used a hundred thousand times.
  @Test func theNumberOfCopiesIsLimited() {
    let times = 100_000
    func many(_ use: [UInt8]) -> [UInt8] {
      (0..<times).flatMap { _ in use + [UInt8(ascii: "0")] }
    }
    func refusal(_ first: [UInt8], _ use: [UInt8]) -> String {
      self.refusal(first + Self.put + [UInt8(ascii: "0")] + many(use) + Pickle.none)
    }
    // A dictionary made of the same hundred thousand pairs, again and again.
    let pair = Pickle.tuple([Pickle.text("k"), Pickle.none])
    let pairs =
      pair + [UInt8(ascii: "q"), 1, UInt8(ascii: "0")]
      + Pickle.list([[UInt8]](repeating: [UInt8(ascii: "h"), 1], count: times))
    #expect(
      refusal(pairs, Pickle.call("collections", "OrderedDict", [Self.get])).contains(
        "more than 4000000 opcodes"))
    // Extents of a hundred thousand axes.
    let extents = Pickle.tuple([[UInt8]](repeating: [UInt8(ascii: "K"), 1], count: times))
    #expect(
      refusal(extents, Pickle.call("torch", "Size", [Self.get])).contains(
        "'torch.Size' has other arguments than a tuple of integers"))
    // A storage whose name is long.
    let name = Pickle.text(String(repeating: "n", count: 1_000_000))
    let storage =
      Pickle.tuple([
        Pickle.text("storage"), Pickle.global("torch", "FloatStorage"), Self.get,
        Pickle.text("cpu"), Pickle.int(1),
      ]) + [UInt8(ascii: "Q")]
    #expect(
      refusal(name, storage).hasSuffix("a name of more than 1000 bytes; the file is damaged"))
  }

  @Test func longTensorNamesAreRefused() {
    let name = String(repeating: "n", count: 500)
    let inner = Pickle.dictionary([(name, Self.good)])
    let text = refusal(Pickle.dictionary([(name, inner)]), storages: [("0", floatBytes([1, 2]))])
    #expect(
      text == "f: the name '" + String(repeating: "n", count: 120)
        + "…' has more than 1000 bytes; the file is damaged, or made to exhaust memory")
  }

  @Test func theNumberOfTensorsIsLimited() {
    let members = (0...100_000).flatMap { number in
      [UInt8(ascii: "J")] + Pickle.number(number, 4) + Self.get
    }
    let pickle =
      Self.good + Self.put + [UInt8(ascii: "0"), UInt8(ascii: "}"), UInt8(ascii: "(")] + members
      + [UInt8(ascii: "u")]
    #expect(
      refusal(pickle, storages: [("0", floatBytes([1, 2]))])
        == "f: more than 100000 tensors, which no model has; the file is damaged, or made to exhaust memory"
    )
  }

  /// Many members that each take long to convert to JSON.
  @Test func plainMembersAreLimited() throws {
    let large = Pickle.list([[UInt8]](repeating: Pickle.none, count: 900)) + Self.put
    let members = (0..<100_000).flatMap { number in
      [UInt8(ascii: "J")] + Pickle.number(number, 4) + Self.get
    }
    let pickle =
      large + [UInt8(ascii: "0")] + [UInt8(ascii: "}"), UInt8(ascii: "(")] + members
      + Pickle.text("a") + Self.good + [UInt8(ascii: "u")]
    let file = try TorchFile(
      ByteSlice(torchFile(pickle, storages: [("0", floatBytes([1, 2]))])), path: "f")
    #expect(file.metadata.keys.count == 111)
    #expect(file.metadata["left_out"]?.object?.keys.count == 1000)
  }

  // MARK: Nonsense

  @Test(arguments: [
    ([0xff], "byte 0xff, which is not an opcode of a pickle; the file is damaged"),
    ([0x80, 6], "protocol 6 of Python's pickles, expected 0 to 5"),
    ([UInt8(ascii: "0")], "opcode POP finds an empty stack; the file is damaged"),
    ([0x85], "opcode TUPLE1 finds an empty stack; the file is damaged"),
    ([UInt8(ascii: "N"), 0x86], "opcode TUPLE2 finds an empty stack; the file is damaged"),
    (
      [UInt8(ascii: "N"), UInt8(ascii: "("), 0x85],
      "opcode TUPLE1 finds an empty stack; the file is damaged"
    ),
    ([UInt8(ascii: "t")], "opcode TUPLE finds no mark; the file is damaged"),
    ([UInt8(ascii: "1")], "opcode POP_MARK finds no mark; the file is damaged"),
    ([0x94], "opcode MEMOIZE finds an empty stack; the file is damaged"),
    (
      [UInt8(ascii: "N"), UInt8(ascii: "N")],
      "2 values at its end, expected 1; the file is damaged"
    ),
    ([UInt8(ascii: "X"), 1, 0, 0, 0, 0xff], "a string that is not UTF-8; the file is damaged"),
    (
      [UInt8(ascii: "N"), UInt8(ascii: "N"), UInt8(ascii: "a")],
      "opcode APPEND finds None, expected a container"
    ),
    (
      [UInt8(ascii: "}"), UInt8(ascii: "N"), UInt8(ascii: "a")],
      "opcode APPEND finds a dictionary, expected a list and its items"
    ),
    (
      [UInt8(ascii: "}"), UInt8(ascii: "("), UInt8(ascii: "N"), UInt8(ascii: "u")],
      "opcode SETITEMS finds a key without value, expected a dictionary and its items"
    ),
    (
      [0x8f, UInt8(ascii: "("), UInt8(ascii: "N"), UInt8(ascii: "e")],
      "opcode APPENDS finds a set, expected a list and its items"
    ),
  ])
  func invalidOpcodesAreRefused(pickle: [UInt8], found: String) {
    #expect(refusal(pickle).hasSuffix(": " + found))
  }

  @Test(arguments: [
    ("_rebuild_sparse_tensor", true), ("_rebuild_qtensor", true), ("_rebuild_nested_tensor", true),
    ("_rebuild_tensor_v2", false), ("_rebuild_parameter", false), ("_rebuild_tensor_v3", false),
  ])
  func invalidTensorsAreRefused(name: String, isUnknown: Bool) {
    let whole = "torch._utils." + name
    let text = refusal(Pickle.call("torch._utils", name, [Pickle.int(1)]))
    if isUnknown {
      #expect(
        text.hasSuffix(
          "a tensor made by '\(whole)', which Decant does not read (such as sparse, quantized and nested tensors)"
        ))
    } else {
      #expect(text.contains("'\(whole)' has other arguments than "))
    }
  }

  @Test func nestedSubclassesAreRefused() {
    // A subclass whose inner function builds a subclass.
    var arguments = Pickle.tuple([])
    for _ in 0..<3 {
      arguments = Pickle.tuple([
        Pickle.global("torch._tensor", "_rebuild_from_type_v2"), Pickle.none, arguments,
      ])
    }
    #expect(
      refusal(
        Pickle.global("torch._tensor", "_rebuild_from_type_v2") + arguments + [UInt8(ascii: "R")]
      )
      .contains("has other arguments than a function that builds a tensor"))
  }

  @Test(arguments: [
    (Pickle.int(1), "a storage named by an integer, expected a tuple of 5 or 6"),
    (
      Pickle.tuple([Pickle.text("storage")]),
      "a storage named by a tuple, expected a tuple of 5 or 6"
    ),
    (
      Pickle.tuple([
        Pickle.text("storage"), Pickle.global("torch", "QInt8Storage"), Pickle.text("0"),
        Pickle.text("cpu"), Pickle.int(1),
      ]),
      "numbers of 'torch.QInt8Storage', which Decant does not read (such as quantized numbers and complex doubles)"
    ),
    (
      Pickle.tuple([
        Pickle.text("storage"), Pickle.text("torch.FloatStorage"), Pickle.text("0"),
        Pickle.text("cpu"), Pickle.int(1),
      ]), "a storage of a string, expected a class; the file is damaged"
    ),
    (
      Pickle.tuple([
        Pickle.text("storage"), Pickle.global("torch", "FloatStorage"), Pickle.text("0"),
        Pickle.text("cpu"), Pickle.int(-1),
      ]), "a storage without a name or a number of elements"
    ),
    (
      Pickle.tuple([
        Pickle.text("storage"), Pickle.global("torch", "FloatStorage"), Pickle.text("0"),
        Pickle.text("cpu"), Pickle.int(1), Pickle.int(1),
      ]), "a storage of a view without a name, an offset and a size"
    ),
  ])
  func invalidStoragesAreRefused(identity: [UInt8], found: String) {
    #expect(refusal(identity + [UInt8(ascii: "Q")]).contains(": \(found)"))
  }
}
