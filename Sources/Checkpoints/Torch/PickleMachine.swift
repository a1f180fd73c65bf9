import Support
import Tensors

/// Interprets pickles without Python.
///
/// The machine has a stack, a memo, and a table of containers. The cost of an opcode is bounded by
/// a constant and its bytes, and the number of opcodes is limited (``PickleLimits``), so that time
/// and memory are bounded. Source: CPython's `pickle.py` and `pickletools.py`.
struct PickleMachine {
  private(set) var nodes: [PickleNode] = []
  private(set) var storages: [TorchStorage] = []
  private(set) var tensors: [TorchTensor] = []
  private var input: PickleInput
  private var stack: [PickleValue] = []
  /// The heights of the stack at the marks.
  private var marks: [Int] = []
  private var memo: [UInt64: PickleValue] = [:]
  /// The names of classes and functions, each stored once.
  private var globals: [String: String] = [:]
  /// The number of values that calls copied, which the number of opcodes does not bound.
  private var copied = 0

  /// The offset after the pickle.
  var end: Int { input.offset }

  private init(_ contents: ByteSlice, at offset: Int) {
    input = PickleInput(contents, at: offset)
  }

  /// Reads the pickle that begins at `offset`.
  ///
  /// - Returns: its value, and the machine with the containers, storages and tensors of the value.
  static func run(
    _ contents: ByteSlice, at offset: Int = 0
  ) throws(PickleError) -> (value: PickleValue, machine: PickleMachine) {
    let end = min(contents.count, offset + PickleLimits.bytes)
    var machine = PickleMachine(contents[0..<end], at: offset)
    var place = offset
    do {
      for _ in 0..<PickleLimits.opcodes {
        place = machine.input.offset
        let byte = try machine.input.byte()
        guard let opcode = PickleOpcode(rawValue: byte) else { throw PickleFault.unknownByte(byte) }
        if opcode == .stop {
          guard machine.stack.count == 1, let value = machine.stack.first, machine.marks.isEmpty
          else { throw PickleFault.leftOnStack(machine.stack.count) }
          return (value, machine)
        }
        try machine.execute(opcode)
      }
      throw PickleFault.tooManyOpcodes(limit: PickleLimits.opcodes)
    } catch let fault as PickleFault {
      throw PickleError(offset: place, fault: fault)
    } catch {
      throw PickleError(offset: place, fault: .ends)
    }
  }

  private mutating func execute(_ opcode: PickleOpcode) throws(PickleFault) {
    switch opcode {
    case .proto:
      let version = Int(try input.byte())
      if version > 5 { throw .newerProtocol(version) }
    case .frame:
      let bytes = try input.number(8)
      guard bytes <= UInt64(input.left) else {
        throw .beyondEnd(bytes: bytes, available: input.left)
      }
    case .mark: marks.append(stack.count)
    case .pop:
      // As in CPython, a mark counts as a value.
      if let mark = marks.last, mark == stack.count {
        marks.removeLast()
      } else {
        _ = try pop(opcode)
      }
    case .popMark: _ = try popToMark(opcode)

    case .none: stack.append(.none)
    case .newtrue: stack.append(.bool(true))
    case .newfalse: stack.append(.bool(false))
    case .binint: stack.append(.integer(Int(Int32(truncatingIfNeeded: try input.number(4)))))
    case .binint1: stack.append(.integer(Int(try input.number(1))))
    case .binint2: stack.append(.integer(Int(try input.number(2))))
    case .long1: try pushLong(try input.number(1))
    case .long4: try pushLong(try input.number(4))
    case .binfloat:
      stack.append(.number(Double(bitPattern: try input.number(8).byteSwapped)))
    case .binunicode: stack.append(.text(try input.text(try input.number(4))))
    case .shortBinunicode: stack.append(.text(try input.text(try input.number(1))))
    case .binunicode8: stack.append(.text(try input.text(try input.number(8))))
    case .binstring: try pushString(try input.number(4))
    case .shortBinstring: try pushString(try input.number(1))
    case .binbytes: try pushBytes(try input.number(4))
    case .shortBinbytes: try pushBytes(try input.number(1))
    case .binbytes8, .bytearray8: try pushBytes(try input.number(8))

    case .emptyTuple: push(.tuple, [])
    case .tuple1: push(.tuple, try pop(1, opcode))
    case .tuple2: push(.tuple, try pop(2, opcode))
    case .tuple3: push(.tuple, try pop(3, opcode))
    case .tuple: push(.tuple, try popToMark(opcode))
    case .emptyList: push(.list, [])
    case .emptyDict: push(.dictionary, [])
    case .emptySet: push(.set, [])
    case .frozenset: push(.set, try popToMark(opcode))
    case .append: try append(try pop(1, opcode), to: .list, opcode)
    case .appends: try append(try popToMark(opcode), to: .list, opcode)
    case .additems: try append(try popToMark(opcode), to: .set, opcode)
    case .setitem: try append(try pop(2, opcode), to: .dictionary, opcode)
    case .setitems: try append(try popToMark(opcode), to: .dictionary, opcode)

    case .binput: try remember(try input.number(1), opcode)
    case .longBinput: try remember(try input.number(4), opcode)
    case .memoize: try remember(UInt64(memo.count), opcode)
    case .binget: try recall(try input.number(1))
    case .longBinget: try recall(try input.number(4))

    case .global: try pushGlobal(module: try input.line(), name: try input.line())
    case .stackGlobal:
      let names = try pop(2, opcode)
      guard let module = names[0].text, let name = names[1].text else {
        throw .wrongOperand(
          opcode.name, found: "\(kind(names[0])) and \(kind(names[1]))", expected: "two strings")
      }
      guard module.utf8.count + name.utf8.count <= 2 * PickleLimits.name else {
        throw .longName(limit: PickleLimits.name)
      }
      try pushGlobal(module: module, name: name)
    case .binpersid: stack.append(try storage(try pop(opcode)))
    case .reduce, .newobj:
      let operands = try pop(2, opcode)
      stack.append(try made(by: operands[0], operands[1], opcode))
    case .newobjEx:
      let operands = try pop(3, opcode)
      stack.append(try made(by: operands[0], operands[1], opcode))
    case .build: try build(opcode)

    case .dup, .float, .int, .long, .persid, .string, .unicode, .dict, .get, .inst, .list, .obj,
      .put, .ext1, .ext2, .ext4, .nextBuffer, .readonlyBuffer, .stop:
      throw .unreadableOpcode(opcode.name)
    }
  }
}

// MARK: - The stack

extension PickleMachine {
  /// The description of a value in messages.
  func kind(_ value: PickleValue) -> String {
    if case .node(let index) = value { return nodes[index].description }
    return value.kind
  }

  private mutating func push(_ kind: PickleNode.Kind, _ items: [PickleValue]) {
    stack.append(.node(nodes.count))
    nodes.append(PickleNode(kind: kind, items: items))
  }

  private mutating func pop(_ opcode: PickleOpcode) throws(PickleFault) -> PickleValue {
    guard stack.count > marks.last ?? 0 else { throw .emptyStack(opcode.name) }
    return stack.removeLast()
  }

  private mutating func pop(
    _ count: Int, _ opcode: PickleOpcode
  ) throws(PickleFault) -> [PickleValue] {
    guard stack.count - count >= marks.last ?? 0 else { throw .emptyStack(opcode.name) }
    defer { stack.removeLast(count) }
    return Array(stack.suffix(count))
  }

  private mutating func popToMark(_ opcode: PickleOpcode) throws(PickleFault) -> [PickleValue] {
    guard let mark = marks.popLast() else { throw .noMark(opcode.name) }
    defer { stack.removeLast(stack.count - mark) }
    return Array(stack[mark...])
  }

  private mutating func pushLong(_ count: UInt64) throws(PickleFault) {
    let bytes = try input.take(count)
    guard count <= 8 else { return stack.append(.dropped("a long integer")) }
    let value = bytes.array.enumerated().reduce(UInt64(0)) { $0 | UInt64($1.1) << (8 * $1.0) }
    let unused = 64 - 8 * count
    stack.append(.integer(count == 0 ? 0 : Int(truncatingIfNeeded: value << unused) >> unused))
  }

  private mutating func pushBytes(_ count: UInt64) throws(PickleFault) {
    _ = try input.take(count)
    stack.append(.dropped("bytes"))
  }

  /// Pushes a string of Python 2, which may be text or bytes.
  private mutating func pushString(_ count: UInt64) throws(PickleFault) {
    let bytes = try input.take(count).array
    let text = try? String(fileText: bytes)
    stack.append(text.map(PickleValue.text) ?? .dropped("bytes"))
  }

  private mutating func pushGlobal(module: String, name: String) throws(PickleFault) {
    // The length distinguishes names with dots in other places.
    let key = "\(module.utf8.count) \(module).\(name)"
    if let known = globals[key] { return stack.append(.global(known)) }
    try PickleGlobals.check(module: module, name: name)
    guard globals.count < PickleLimits.globals else {
      throw .tooManyGlobals(limit: PickleLimits.globals)
    }
    let whole = "\(module).\(name)"
    globals[key] = whole
    stack.append(.global(whole))
  }

  private mutating func remember(_ index: UInt64, _ opcode: PickleOpcode) throws(PickleFault) {
    guard let value = stack.last, stack.count > marks.last ?? 0 else {
      throw .emptyStack(opcode.name)
    }
    memo[index] = value
  }

  private mutating func recall(_ index: UInt64) throws(PickleFault) {
    guard let value = memo[index] else { throw .noMemo(index) }
    stack.append(value)
  }

  /// Adds items to the list, set or dictionary on top of the stack. Drops items of unknown objects.
  private mutating func append(
    _ items: [PickleValue], to kind: PickleNode.Kind, _ opcode: PickleOpcode
  ) throws(PickleFault) {
    let target = try pop(opcode)
    stack.append(target)
    guard case .node(let index) = target else {
      throw .wrongOperand(opcode.name, found: target.kind, expected: "a container")
    }
    if case .opaque = nodes[index].kind { return }
    guard nodes[index].kind == kind, kind != .dictionary || items.count.isMultiple(of: 2) else {
      throw .wrongOperand(
        opcode.name,
        found: nodes[index].kind == kind ? "a key without value" : nodes[index].description,
        expected: PickleNode(kind: kind).description + " and its items")
    }
    nodes[index].items += items
  }

  /// Drops the state of an object.
  private mutating func build(_ opcode: PickleOpcode) throws(PickleFault) {
    let target = try pop(2, opcode)[0]
    stack.append(target)
    switch target {
    case .tensor: return
    case .node(let index):
      switch nodes[index].kind {
      case .opaque, .dictionary: return
      default: break
      }
    default: break
    }
    throw .wrongOperand(opcode.name, found: kind(target), expected: "an object")
  }
}

// MARK: - Objects

extension PickleMachine {
  func items(_ value: PickleValue, _ kind: PickleNode.Kind) -> [PickleValue]? {
    guard case .node(let index) = value, nodes[index].kind == kind else { return nil }
    return nodes[index].items
  }

  /// A short list of integers, such as extents; `nil` for longer lists, because each reference to a
  /// list copies it.
  private func integers(_ value: PickleValue) -> [Int]? {
    guard let items = items(value, .tuple) ?? items(value, .list),
      items.count <= PickleLimits.extents
    else { return nil }
    let values = items.compactMap(\.integer)
    return values.count == items.count ? values : nil
  }

  /// The result of a call: a known value, or an opaque object.
  private mutating func made(
    by callee: PickleValue, _ arguments: PickleValue, _ opcode: PickleOpcode
  ) throws(PickleFault) -> PickleValue {
    guard case .global(let name) = callee else {
      throw .wrongOperand(opcode.name, found: kind(callee), expected: "a class or function")
    }
    guard let list = items(arguments, .tuple) else {
      throw .wrongOperand(opcode.name, found: kind(arguments), expected: "a tuple of arguments")
    }
    func wrong(_ expected: String) -> PickleFault { .wrongArguments(name, expected: expected) }

    switch try PickleGlobals.maker(name) {
    case .dictionary:
      var members: [PickleValue] = []
      if let first = list.first, let pairs = items(first, .list) {
        copied += pairs.count
        guard copied <= PickleLimits.opcodes else {
          throw .tooManyOpcodes(limit: PickleLimits.opcodes)
        }
        for pair in pairs {
          guard let pair = items(pair, .list) ?? items(pair, .tuple), pair.count == 2 else {
            throw wrong("pairs of keys and values")
          }
          members += pair
        }
      }
      return add(.dictionary, members)
    case .tensor: return try tensor(list, kind: nil, name)
    case .tensorWithKind:
      guard list.count >= 7, case .global(let type) = list[6],
        let kind = PickleGlobals.elementKind(type)
      else { throw wrong("a type of number that is read as its seventh argument") }
      return try tensor(list, kind: kind, name)
    case .parameter:
      guard let first = list.first, case .tensor = first else { throw wrong("a tensor") }
      return first
    case .subclass:
      // The inner function must not be a subclass again, which could recurse without end.
      guard list.count >= 3, case .global(let inner) = list[0],
        inner.hasPrefix("torch._utils._rebuild_")
      else { throw wrong("a function that builds a tensor, and its arguments") }
      return try made(by: list[0], list[2], opcode)
    case .size:
      guard let first = list.first, let extents = integers(first) else {
        throw wrong("a tuple of integers")
      }
      return add(.tuple, extents.map(PickleValue.integer))
    case .opaque: return add(.opaque(name), [])
    }
  }

  private mutating func add(_ kind: PickleNode.Kind, _ items: [PickleValue]) -> PickleValue {
    nodes.append(PickleNode(kind: kind, items: items))
    return .node(nodes.count - 1)
  }

  /// `_rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks)`
  private mutating func tensor(
    _ arguments: [PickleValue], kind: ElementKind?, _ name: String
  ) throws(PickleFault) -> PickleValue {
    guard arguments.count >= 4, case .storage(let storage) = arguments[0],
      let offset = arguments[1].integer, let extents = integers(arguments[2]),
      let strides = integers(arguments[3])
    else {
      throw .wrongArguments(name, expected: "a storage, an offset, extents and strides")
    }
    tensors.append(
      TorchTensor(storage: storage, kind: kind, offset: offset, extents: extents, strides: strides))
    return .tensor(tensors.count - 1)
  }

  /// `('storage', class, key, location, count[, view])`, where a view of PyTorch before 0.4 is
  /// `(key, offset, count)`.
  private mutating func storage(_ identity: PickleValue) throws(PickleFault) -> PickleValue {
    guard let parts = items(identity, .tuple), parts.count == 5 || parts.count == 6,
      parts[0].text == "storage"
    else { throw .wrongStorage("named by \(kind(identity)), expected a tuple of 5 or 6") }
    guard case .global(let name) = parts[1] else {
      throw .wrongStorage("of \(kind(parts[1])), expected a class")
    }
    guard let kind = PickleGlobals.storageKind(name) else { throw .unknownNumbers(name) }
    guard let key = parts[2].text ?? parts[2].integer.map({ String($0) }),
      let count = parts[4].integer, count >= 0
    else { throw .wrongStorage("without a name or a number of elements") }
    guard key.utf8.count <= PickleLimits.name else { throw .longName(limit: PickleLimits.name) }
    var storage = TorchStorage(key: key, kind: kind, count: count, offset: 0, wholeCount: count)
    if parts.count == 6, parts[5] != .none {
      guard let view = items(parts[5], .tuple), view.count == 3, view[0].text != nil,
        let offset = view[1].integer, offset >= 0, let size = view[2].integer, size >= 0
      else { throw .wrongStorage("of a view without a name, an offset and a size") }
      storage = TorchStorage(key: key, kind: kind, count: size, offset: offset, wholeCount: count)
    }
    storages.append(storage)
    return .storage(storages.count - 1)
  }
}
