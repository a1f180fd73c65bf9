private import Checkpoints
internal import Formats
internal import Tensors

/// A file of adapters: small tensors by module, whose products are to be added to a model's weights.
struct AdapterFile {
  /// The tensors of one module, by the part that each is.
  struct Module {
    var parts: [AdapterPart: String] = [:]

    func has(_ part: AdapterPart) -> Bool { parts[part] != nil }
  }

  let path: String
  let weights: any WeightSource
  /// By the name that the file has for the module, in the order of the file.
  let modules: [(key: String, module: Module)]
  /// Tensors that are no part of any kind of adapter.
  let strays: [String]
  private let settings: AdapterSettings?

  init(_ path: String) throws {
    self.path = path
    let archive = try Archives.open(path)
    weights = archive.weights
    settings = try AdapterSettings(of: path, metadata: archive.metadata)
    var strays: [String] = []
    var places: [String: Int] = [:]
    var modules: [(key: String, module: Module)] = []
    for name in weights.names {
      guard let (key, part) = Self.split(name) else {
        strays.append(name)
        continue
      }
      let place = places[key] ?? modules.count
      if place == modules.count {
        places[key] = place
        modules.append((key, Module()))
      }
      modules[place].module.parts[part] = name
    }
    guard !modules.isEmpty else {
      throw AdapterError.notAnAdapter(path: path, examples: Array(weights.names.prefix(4)))
    }
    self.modules = modules
    self.strays = strays
  }

  /// Endings of names, with the part that a tensor of such a name is.
  private static let endings =
    AdapterKeys.endings
    + AdapterPart.allCases.filter { part in !AdapterKeys.endings.contains { $0.part == part } }
    .map { (ending: ".\($0.rawValue)", part: $0) }

  private static func split(_ name: String) -> (key: String, part: AdapterPart)? {
    guard let (ending, part) = endings.first(where: { name.hasSuffix($0.ending) }) else {
      return nil
    }
    return (String(name.dropLast(ending.count)), part)
  }

  // MARK: - Tensors

  /// A part's numbers, refused when they are NaN or infinite.
  func tensor(_ name: String) throws -> Tensor {
    let stored = try weights.tensor(name)
    guard stored.encoding.isWidenable, !stored.encoding.isQuantized else {
      throw AdapterError.misshapen(
        path: path, tensor: name, found: stored.shape, expected: "floating-point numbers")
    }
    if stored.hasNonfinite { throw AdapterError.nonfinite(path: path, tensor: name) }
    return stored.widened()
  }

  /// A part as a matrix of so many columns, or rows.
  func matrix(
    _ name: String, rows: Int? = nil, columns: Int? = nil
  ) throws -> Tensor {
    let tensor = try tensor(name)
    let count = tensor.shape.count
    let height = rows ?? (columns.map { $0 > 0 ? count / $0 : 0 } ?? tensor.shape.rows)
    let width = columns ?? (height > 0 ? count / height : 0)
    guard height > 0, height * width == count else {
      let expected = [rows.map { "\($0) rows" }, columns.map { "\($0) columns" }]
        .compactMap { $0 }.joined(separator: " and ")
      throw AdapterError.misshapen(
        path: path, tensor: name, found: tensor.shape, expected: "a matrix of \(expected)")
    }
    return tensor.reshaped([height, width])
  }

  /// The share with which a product of that rank is added: alpha over rank, by the tensor of that name
  /// or by what the program that trained it says; 1 without an alpha.
  func share(_ module: Module, key: String, rank: Int) throws -> Float {
    guard let name = module.parts[.alpha] else {
      return try settings?.share(of: key, rank: rank) ?? 1
    }
    let alpha = try tensor(name)
    guard alpha.shape.count == 1 else {
      throw AdapterError.misshapen(
        path: path, tensor: name, found: alpha.shape, expected: "one number")
    }
    return alpha.values[0] / Float(max(1, rank))
  }
}
