import Support

/// The named tensors of a checkpoint, and its other members.
///
/// In a checkpoint with a `state_dict`, as Lightning and most trainers write it, the model is that
/// member; else it is the whole dictionary. Nested dictionaries give dotted names.
struct TorchContents {
  /// The tensors, in the order of the file.
  private(set) var tensors: [(name: String, tensor: TorchTensor)] = []
  /// Plain members, such as `global_step` and `epoch`, as JSON.
  private(set) var metadata = JSONObject()
  /// The other members, with a description of each.
  private(set) var leftOut = JSONObject()
  /// Dictionaries of tensors beside the model's, such as a moving average, with their numbers of
  /// tensors.
  private(set) var otherTensors: [(name: String, count: Int)] = []
  private let machine: PickleMachine
  private let path: String
  private var names: Set<String> = []
  /// The number of members that may still be visited.
  private var budget: Int
  /// The number of values that plain members may still have.
  private var plainBudget = 100_000

  /// The largest depth of nested dictionaries.
  private static let depthLimit = 32
  /// The largest number of values of one plain member.
  private static let plainLimit = 1000
  /// The largest number of members that are listed as left out.
  private static let leftOutLimit = 1000
  static let stateDictionary = "state_dict"

  init(_ records: TorchRecords, path: String) throws(TorchError) {
    machine = records.machine
    self.path = path
    // The limit allows to visit each dictionary twice, and stops where one is nested many times.
    budget = 1000 + 2 * records.machine.nodes.reduce(0) { $0 + $1.items.count }
    guard let top = machine.members(of: records.value) else {
      throw .notDictionary(path: path, found: machine.kind(records.value))
    }
    if let state = machine.member(Self.stateDictionary, of: records.value),
      let members = machine.members(of: state)
    {
      try collect(members, prefix: "", depth: 1)
      for (key, value) in top where key.text != Self.stateDictionary {
        let count = tensorCount(of: value)
        if count > 0 { otherTensors.append((self.name(key), count)) }
        note(self.name(key), value)
      }
    } else {
      try collect(top, prefix: "", depth: 0)
    }
    guard !tensors.isEmpty else {
      throw .noTensors(path: path, found: top.map { name($0.key) })
    }
  }

  /// The tensors among the members of a dictionary; 0 for other values.
  private func tensorCount(of value: PickleValue) -> Int {
    (machine.members(of: value) ?? []).count {
      if case .tensor = $0.value { true } else { false }
    }
  }

  private func name(_ key: PickleValue) -> String {
    switch key {
    case .text(let text): text
    case .integer(let number): String(number)
    case .global(let name): name
    default: machine.kind(key)
    }
  }

  private mutating func collect(
    _ members: [(key: PickleValue, value: PickleValue)], prefix: String, depth: Int
  ) throws(TorchError) {
    budget -= members.count
    guard budget >= 0, depth < Self.depthLimit else { throw .endless(path: path) }
    for (key, value) in members {
      let name = prefix + name(key)
      guard name.utf8.count <= PickleLimits.name else {
        throw .longName(path: path, name: name, limit: PickleLimits.name)
      }
      if case .tensor(let index) = value {
        guard names.insert(name).inserted else {
          throw .duplicateTensor(path: path, tensor: name)
        }
        guard tensors.count < TensorLimits.count else {
          throw .tooManyTensors(path: path, limit: TensorLimits.count)
        }
        tensors.append((name, machine.tensors[index]))
      } else if let inner = machine.members(of: value) {
        try collect(inner, prefix: name + ".", depth: depth + 1)
      } else {
        note(name, value)
      }
    }
  }

  /// Keeps a plain member as metadata, and lists any other as left out.
  private mutating func note(_ name: String, _ value: PickleValue) {
    let limit = min(Self.plainLimit, plainBudget)
    var left = limit
    let plain = json(value, depth: 0, &left)
    plainBudget -= limit - max(0, left)
    if let plain {
      metadata[name] = plain
    } else if leftOut.count < Self.leftOutLimit {
      leftOut[name] = .string(shown(machine.kind(value)))
    }
  }

  /// A plain value as JSON: numbers, strings, lists and dictionaries. `nil` for other and for large
  /// values.
  private func json(_ value: PickleValue, depth: Int, _ budget: inout Int) -> JSONValue? {
    budget -= 1
    guard budget >= 0, depth < Self.depthLimit else { return nil }
    switch value {
    case .none: return .null
    case .bool(let value): return .bool(value)
    case .integer(let value): return .integer(value)
    case .number(let value): return value.isFinite ? .number(value) : nil
    case .text(let text): return .string(text)
    case .dropped, .global, .storage, .tensor: return nil
    case .node(let index):
      guard machine.nodes[index].items.count <= 2 * budget else { return nil }
      switch machine.nodes[index].kind {
      case .tuple, .list:
        var values: [JSONValue] = []
        for item in machine.nodes[index].items {
          guard let item = json(item, depth: depth + 1, &budget) else { return nil }
          values.append(item)
        }
        return .array(values)
      case .dictionary:
        var object = JSONObject()
        for (key, item) in machine.members(of: value) ?? [] {
          guard let name = key.text, let item = json(item, depth: depth + 1, &budget) else {
            return nil
          }
          object[name] = item
        }
        return .object(object)
      case .set, .opaque: return nil
      }
    }
  }
}
