import Support

/// The tensors of a checkpoint by their names, and what else it says.
///
/// Of a checkpoint with a `state_dict`, as Lightning and most trainers write them, that is the
/// model; else the whole is. Dictionaries within give dotted names.
struct TorchContents {
  /// In the order of the file.
  private(set) var tensors: [(name: String, tensor: TorchTensor)] = []
  /// Plain members, such as `global_step` and `epoch`, as JSON.
  private(set) var metadata = JSONObject()
  /// Members that are neither tensors nor plain, and what they are.
  private(set) var leftOut = JSONObject()
  private let machine: PickleMachine
  private let path: String
  private var names: Set<String> = []
  /// Members that may still be looked at.
  private var budget: Int
  /// Values that plain members may still hold.
  private var plainBudget = 100_000

  /// How deep dictionaries may lie in one another.
  private static let depthLimit = 32
  /// Values that one plain member may hold.
  private static let plainLimit = 1000
  /// Members that are listed as left out; more of them tell nothing new.
  private static let leftOutLimit = 1000
  static let stateDictionary = "state_dict"

  init(_ records: TorchRecords, path: String) throws(TorchError) {
    machine = records.machine
    self.path = path
    // Each dictionary is looked at once or twice; one that holds others many times over is not.
    budget = 1000 + 2 * records.machine.nodes.reduce(0) { $0 + $1.items.count }
    guard let top = machine.members(of: records.value) else {
      throw .notDictionary(path: path, found: machine.kind(records.value))
    }
    if let state = machine.member(Self.stateDictionary, of: records.value),
      let members = machine.members(of: state)
    {
      try collect(members, prefix: "", depth: 1)
      for (key, value) in top where key.text != Self.stateDictionary { note(self.name(key), value) }
    } else {
      try collect(top, prefix: "", depth: 0)
    }
    guard !tensors.isEmpty else {
      throw .noTensors(path: path, found: top.map { name($0.key) })
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
        guard tensors.count < PickleLimits.tensors else {
          throw .tooManyTensors(path: path, limit: PickleLimits.tensors)
        }
        tensors.append((name, machine.tensors[index]))
      } else if let inner = machine.members(of: value) {
        try collect(inner, prefix: name + ".", depth: depth + 1)
      } else {
        note(name, value)
      }
    }
  }

  /// Keeps what is plain, and says of the rest that it was there.
  private mutating func note(_ name: String, _ value: PickleValue) {
    let room = min(Self.plainLimit, plainBudget)
    var left = room
    let plain = json(value, depth: 0, &left)
    plainBudget -= room - max(0, left)
    if let plain {
      metadata[name] = plain
    } else if leftOut.keys.count < Self.leftOutLimit {
      leftOut[name] = .string(shown(machine.kind(value)))
    }
  }

  /// A value of numbers, texts, lists and dictionaries as JSON; `nil` for others, and for large
  /// ones.
  private func json(_ value: PickleValue, depth: Int, _ room: inout Int) -> JSONValue? {
    room -= 1
    guard room >= 0, depth < Self.depthLimit else { return nil }
    switch value {
    case .none: return .null
    case .bool(let value): return .bool(value)
    case .integer(let value): return .integer(value)
    case .number(let value): return value.isFinite ? .number(value) : nil
    case .text(let text): return .string(text)
    case .dropped, .global, .storage, .tensor: return nil
    case .node(let index):
      guard machine.nodes[index].items.count <= 2 * room else { return nil }
      switch machine.nodes[index].kind {
      case .tuple, .list:
        var values: [JSONValue] = []
        for item in machine.nodes[index].items {
          guard let item = json(item, depth: depth + 1, &room) else { return nil }
          values.append(item)
        }
        return .array(values)
      case .dictionary:
        var object = JSONObject()
        for (key, item) in machine.members(of: value) ?? [] {
          guard let name = key.text, let item = json(item, depth: depth + 1, &room) else {
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
