import Support
import Tensors

/// A Python value of a pickle. Containers are in a table of ``PickleMachine``, and values refer to
/// them by index, because a container may contain itself.
enum PickleValue: Sendable, Equatable {
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
  /// Bytes and integers of more than 64 bits, which models do not need. Holds a description.
  case dropped(String)
  /// The name of a class or function, which is never looked up: `torch.FloatStorage`.
  case global(String)
  /// An index of ``PickleMachine/nodes``.
  case node(Int)
  /// An index of ``PickleMachine/storages``.
  case storage(Int)
  /// An index of ``PickleMachine/tensors``.
  case tensor(Int)

  /// The description in messages.
  var kind: String {
    switch self {
    case .none: "None"
    case .bool: "a Boolean"
    case .integer: "an integer"
    case .number: "a number"
    case .text: "a string"
    case .dropped(let kind): kind
    case .global(let name): "the class or function '\(shown(name))'"
    case .node: "an object"
    case .storage: "a storage"
    case .tensor: "a tensor"
    }
  }

  var integer: Int? { if case .integer(let value) = self { value } else { nil } }
  var text: String? { if case .text(let value) = self { value } else { nil } }
}

/// A Python container, or an opaque object.
struct PickleNode: Sendable {
  enum Kind: Sendable, Equatable {
    case tuple
    case list
    case set
    /// ``PickleNode/items`` alternates keys and values.
    case dictionary
    /// An object of an unknown class, without its contents.
    case opaque(String)
  }

  let kind: Kind
  var items: [PickleValue] = []

  /// The description in messages.
  var description: String {
    switch kind {
    case .tuple: "a tuple"
    case .list: "a list"
    case .set: "a set"
    case .dictionary: "a dictionary"
    case .opaque(let name): "an object of '\(shown(name))'"
    }
  }
}

/// A storage that a pickle refers to: numbers of one type elsewhere in the file.
struct TorchStorage: Sendable, Equatable {
  /// The name in the file.
  let key: String
  /// The element type; `nil` for plain bytes, whose type each tensor states.
  let kind: ElementKind?
  /// The number of elements, or of plain bytes.
  let count: Int
  /// The first element within the whole storage; not 0 in views of PyTorch before 0.4.
  let offset: Int
  /// The number of elements of the whole storage.
  let wholeCount: Int

  /// The bytes of one element.
  var width: Int { (kind?.bitWidth ?? 8) / 8 }
}

/// A tensor as a pickle describes it, unchecked.
struct TorchTensor: Sendable, Equatable {
  let storage: Int
  /// The element type; `nil` for that of the storage.
  let kind: ElementKind?
  let offset: Int
  let extents: [Int]
  let strides: [Int]
}
