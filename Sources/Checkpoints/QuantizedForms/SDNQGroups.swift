import ModelSources
import Support
import Tensors

/// SDNQ's form of symmetric codes with a float16 scale for each group of input channels.
///
/// A module with `G` groups of `g` input channels has two tensors. A convolution has the extents of
/// its kernel, 1 and 1, after those of a linear layer; a module of one group lacks the second
/// extent.
///
///     X.weight   I8 [out, G, g], or U8 [out * G * g / 2]: codes plus 8, two in a byte, the first
///                in the low nibble
///     X.scale    F16 [out, G, 1]
struct SDNQGroups: Equatable {
  let bits: Int
  let size: Int

  /// The member of `quantization_config` that describes modules by their weights' names.
  static let configMember = "modules_quant_config"
  /// The codes of 4 bits that SDNQ stores are 8 larger. In two's complement, that inverts the
  /// highest bit of each.
  private static let highestBits: UInt8 = 0x88

  init(bits: Int, size: Int) {
    self.bits = bits
    self.size = size
  }

  /// The groups of an encoding; `nil` for one that is not symmetric codes of 4 or 8 bits in groups.
  init?(_ encoding: TensorEncoding) {
    guard let format = encoding.codeFormat, [4, 8].contains(format.bits),
      let size = format.scales[0].runLength,
      encoding == .symmetric(bits: format.bits, groupSize: size)
    else { return nil }
    self.init(bits: format.bits, size: size)
  }

  var encoding: TensorEncoding { .symmetric(bits: bits, groupSize: size) }

  var json: JSONValue { ["weights_dtype": .string("int\(bits)"), "group_size": .integer(size)] }

  /// Whether the groups are whole, and their weights are input channels. Codes of 4 bits fill whole
  /// bytes then.
  func divide(_ shape: Shape) -> Bool {
    (shape.rank == 2 || shape.rank == 4 && shape[2] == 1 && shape[3] == 1)
      && shape.rowLength > 0 && shape.rowLength % size == 0
      && (bits == 8 || shape.rowLength % 2 == 0)
  }

  /// The entries of codes and scales of a weight.
  private func entries(_ shape: Shape) -> (codes: TensorEntry, scales: TensorEntry) {
    let count = shape.rowLength / size
    let groups = count == 1 ? [] : [count]
    let kernel = [Int](repeating: 1, count: shape.rank - 2)
    let codes: Shape =
      bits == 4 ? [shape.count / 2] : Shape([shape.rows] + groups + [size] + kernel)
    return (
      TensorEntry(shape: codes, encoding: .plain(bits == 4 ? .u8 : .i8)),
      TensorEntry(shape: Shape([shape.rows] + groups + [1] + kernel), encoding: .plain(.f16))
    )
  }

  /// - Precondition: the groups ``divide(_:)`` the shape.
  func pieces(_ name: String, _ shape: Shape) -> [SplitSource.Piece] {
    let (codes, scales) = entries(shape)
    return [
      .init(name: name, entry: codes, contents: bits == 4 ? .computed(Self.shifted) : .part(0)),
      .init(name: SDNQForm.scaleName(name), entry: scales, contents: .part(1)),
    ]
  }

  /// Codes of 4 bits between Decant's form and SDNQ's, in either direction.
  private static func shifted(_ tensor: StoredTensor) -> ByteSlice {
    ByteSlice(tensor.parts[0].array.map { $0 ^ highestBits })
  }

  /// Whether the codes and scales of a weight of that shape have these groups.
  func fit(_ name: String, _ shape: Shape, in weights: any WeightSource) -> Bool {
    guard divide(shape) else { return false }
    let expected = entries(shape)
    return weights.entry(name) == expected.codes
      && weights.entry(SDNQForm.scaleName(name)) == expected.scales
  }

  /// The tensor that codes and scales are joined to.
  ///
  /// - Precondition: the groups ``fit(_:_:in:)`` it.
  func joint(_ name: String, _ shape: Shape) -> JoinedSource.Joint {
    let scale = SDNQForm.scaleName(name)
    return JoinedSource.Joint(
      entry: TensorEntry(shape: shape, encoding: encoding), taken: [scale]
    ) { base in
      let codes = try base.tensor(name)
      return StoredTensor(
        shape: shape, encoding: encoding,
        parts: [bits == 4 ? Self.shifted(codes) : codes.parts[0]] + (try base.tensor(scale).parts))
    }
  }
}
