import Support
import Tensors

/// A Python value as a pickle describes it. Everything that holds other values lies in a table of
/// ``PickleMachine`` and is named by its place there: values may hold themselves, and nothing here
/// goes down into them.
enum PickleValue: Sendable, Equatable {
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
  /// Bytes, and integers beyond 64 bits: of no use to a model, and not kept.
  case dropped(String)
  /// A name of something in a module, never looked up: `torch.FloatStorage`.
  case global(String)
  /// A place in ``PickleMachine/nodes``.
  case node(Int)
  /// A place in ``PickleMachine/storages``.
  case storage(Int)
  /// A place in ``PickleMachine/tensors``.
  case tensor(Int)

  /// What messages call it.
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

/// A Python value that holds others.
struct PickleNode: Sendable {
  enum Kind: Sendable, Equatable {
    case tuple
    case list
    case set
    /// Keys and values take turns in ``PickleNode/items``.
    case dictionary
    /// An object of a class that is not known; what it holds is not kept.
    case opaque(String)
  }

  let kind: Kind
  var items: [PickleValue] = []

  /// What messages call it.
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

/// A storage that a pickle refers to: numbers of one kind that lie elsewhere in the file.
struct TorchStorage: Sendable, Equatable {
  /// Its name in the file.
  let key: String
  /// `nil` where the storage is plain bytes and each tensor says what they are.
  let kind: ElementKind?
  /// Numbers, or bytes.
  let count: Int
  /// First number within the storage of that name: not 0 in views of PyTorch before 0.4.
  let offset: Int
  /// Numbers of the storage of that name.
  let wholeCount: Int

  /// Bytes of one number.
  var width: Int { (kind?.bitWidth ?? 8) / 8 }
}

/// A tensor that a pickle describes, as it says and unchecked.
struct TorchTensor: Sendable, Equatable {
  let storage: Int
  /// `nil` where it is the storage's.
  let kind: ElementKind?
  let offset: Int
  let extents: [Int]
  let strides: [Int]
}
