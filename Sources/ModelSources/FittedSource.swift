internal import Support
package import Tensors

extension OutputProfile {
  /// The ``prepared(_:)`` form of the ``widened(_:)`` model.
  package func fitted(_ model: ModelSource) -> ModelSource { prepared(widened(model)) }

  /// The model without quantized tensors that the program reads only as plain numbers. They become
  /// float16.
  ///
  /// Quantized tensors in an encoding that the program does not read at all stay as they are; the
  /// layout's writer refuses them.
  package func widened(_ model: ModelSource) -> ModelSource {
    var model = model
    for index in model.components.indices {
      let component = model.components[index]
      model.components[index].weights = HalfSource(
        component.weights, because: "\(title) reads this tensor as f16 only"
      ) { name, entry in
        entry.encoding.isQuantized && accepts(entry.encoding)
          && !holds(entry, of: name, in: component.name)
      }
    }
    return model
  }
}

extension OutputProfile {
  /// Whether the program reads weights in this encoding, and not only in a nearer one.
  package func accepts(_ encoding: TensorEncoding) -> Bool { accepted(encoding) == encoding }

  /// Whether the program reads a tensor as it is stored.
  package func reads(_ entry: TensorEntry, of tensor: String, in component: String) -> Bool {
    accepts(entry.encoding) && holds(entry, of: tensor, in: component)
  }

  /// The names of the components of a model that the output holds.
  package func components(heldOf model: ModelSource) -> Set<String> {
    Set(prepared(model).components.map(\.name))
  }

  /// The first quantized tensor that the program does not read in its encoding; `nil` where it reads
  /// all. No weights are read.
  ///
  /// In a ``fitted(_:)`` model, these are the tensors that cannot be written for the program.
  package func firstUnread(in model: ModelSource) -> UnreadTensor? {
    for component in model.components {
      for name in component.weights.names {
        guard let entry = component.weights.entry(name), entry.encoding.isQuantized,
          !reads(entry, of: name, in: component.name)
        else { continue }
        return UnreadTensor(component: component.name, tensor: name, encoding: entry.encoding)
      }
    }
    return nil
  }
}

/// A quantized tensor in an encoding that a program does not read.
package struct UnreadTensor: Equatable {
  package let component: String
  package let tensor: String
  package let encoding: TensorEncoding

  package init(component: String, tensor: String, encoding: TensorEncoding) {
    self.component = component
    self.tensor = tensor
    self.encoding = encoding
  }
}

extension OutputProfile {
  /// The bytes of all weights of a model in the file that the program reads, without lossless
  /// coding. No weights are read.
  package func storedBytes(of model: ModelSource) -> Int {
    fitted(model).components.reduce(0) { sum, component in
      sum + component.weights.entries.reduce(0) { $0 + stored($1).byteCount }
    }
  }
}

/// Weights of which some quantized tensors are read as float16 numbers.
package struct HalfSource: WeightSource {
  private let base: any WeightSource
  private let reason: String
  private let isHalf: @Sendable (_ name: String, TensorEntry) -> Bool

  /// - Parameters:
  ///   - reason: why tensors become float16, as a clause of messages.
  ///   - isHalf: whether a tensor becomes float16.
  package init(
    _ base: any WeightSource, because reason: String,
    where isHalf: @escaping @Sendable (_ name: String, TensorEntry) -> Bool
  ) {
    self.base = base
    self.reason = reason
    self.isHalf = isHalf
  }

  package var location: String { base.location }
  package var names: [String] { base.names }

  package func storedName(_ name: String) -> String { base.storedName(name) }

  package func entry(_ name: String) -> TensorEntry? {
    guard let entry = base.entry(name), isHalf(name, entry) else { return base.entry(name) }
    return TensorEntry(shape: entry.shape, encoding: .plain(.f16))
  }

  /// - Throws: ``WeightError`` for numbers that float16 does not hold, or an error of the base.
  package func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    guard isHalf(name, tensor.entry) else { return tensor }
    return try tensor.narrowed(
      to: .f16, named: name, in: location, from: tensor.encoding.name, because: reason)
  }
}

extension StoredTensor {
  /// The numbers of the tensor in a plain kind.
  ///
  /// - Parameters:
  ///   - name: the tensor's name in its source, whose location is `location`.
  ///   - encoding: what the tensor is stored as, for messages: `int8`.
  ///   - reason: why it becomes that kind, as a clause.
  /// - Throws: ``WeightError`` for numbers that the kind does not hold.
  package func narrowed(
    to kind: ElementKind, named name: String, in location: String, from encoding: String,
    because reason: String
  ) throws(WeightError) -> StoredTensor {
    do { return try narrowed(to: kind) } catch {
      let found =
        switch error {
        case .nonfinite: "NaN or infinite numbers"
        case .overflows(let limit):
          "\(encoding) with a number beyond \(formatted(Double(limit), digits: 5)), and \(reason)"
        }
      throw WeightError(location: location, tensor: name, found: found)
    }
  }
}
