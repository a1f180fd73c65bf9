import ModelSources
import Support
import Tensors

/// One quantized weight of SDNQ, and the tensors beside it.
///
///     X.weight       codes: [out, in] or [out, groups, in / groups], then the extents of a kernel;
///                    flat where they are packed
///     X.scale        the same extents, with 1 for the input channels of a group
///     X.zero_point   of unsigned codes: what is added, in the shape of the scale
///     X.svd_up       [out, rank] and X.svd_down [rank, in]: a product that is added
///
/// With `use_codebook`, the scale has the numbers that codes stand for, in place of the input
/// channels. With `use_hadamard`, groups of a row were multiplied by a Hadamard matrix as the last
/// step.
/// Source: SDNQ 0.2.8, dequantizer.py.
struct SDNQWeight {
  let name: String
  private let type: SDNQType
  /// The codes as [outer, length, inner]: numbers with one scale lie along the second axis.
  private let outer: Int
  private let length: Int
  private let inner: Int
  /// The shape of the weight.
  let shape: Shape
  private let scale: String
  /// Whether one scale serves all outer places.
  private let isOuterShared: Bool
  private let zeroPoint: String?
  private let product: (up: String, down: String)?
  private let usesCodebook: Bool
  /// The size of rotated groups; `nil` where the weights are not rotated.
  private let rotation: Int?
  private let scaleEntry: TensorEntry

  /// Tensors of scales that are quantized themselves.
  private static let doubled = ["scale_2", "scale_zero_point", "zero_point_scale", "zero_point_2"]

  /// Finds the tensors of a weight, and its shape.
  ///
  /// - Throws: ``DiffusersError/quantized(path:found:expected:)`` for settings that are not read,
  ///   and ``WeightError`` for tensors that do not fit them.
  init(
    _ name: String, _ settings: JSONObject, in weights: any WeightSource, path: String
  ) throws {
    let layer = name.dropLast(SDNQForm.weightSuffix.count)
    func setting(_ found: String) -> DiffusersError {
      .quantized(
        path: path, found: "\(found), for '\(shown(name))'", expected: SDNQForm().readable)
    }
    func fault(_ tensor: String, _ expected: String) -> WeightError {
      let found = weights.entry(tensor)?.text ?? "missing"
      return WeightError(
        location: weights.location, tensor: tensor,
        found: "\(found), expected \(expected) beside '\(shown(tensor == name ? scale : name))'")
    }
    func isNumbers(_ entry: TensorEntry) -> Bool {
      SDNQForm.numbers.contains { entry.encoding == .plain($0) }
    }
    let scale = SDNQForm.scaleName(name)
    self.name = name
    self.scale = scale
    let typeName = settings["weights_dtype"]?.string ?? ""
    guard let type = SDNQType(typeName) else {
      throw setting("'\(SDNQForm.method)' with 'weights_dtype' '\(shown(typeName))'")
    }
    self.type = type
    if let tensor = Self.doubled.map({ "\(layer).\($0)" }).first(where: { weights.entry($0) != nil }
    ) {
      throw setting("'\(SDNQForm.method)' with quantized scales ('\(shown(tensor))')")
    }
    usesCodebook = settings["use_codebook"] == true
    if usesCodebook, type.bits > 8 {
      throw setting("'\(SDNQForm.method)' with 'use_codebook' and \(typeName)")
    }

    guard let codes = weights.entry(name), codes.encoding == .plain(type.storage) else {
      throw fault(name, type.storage.rawValue.lowercased())
    }
    let levels = usesCodebook ? 1 << type.bits : 1
    guard let found = weights.entry(scale), isNumbers(found) else {
      throw fault(scale, "f32 [out, \(levels)]")
    }
    scaleEntry = found
    let places: Places
    if type.isPacked {
      guard let count = type.codeCount(bytes: codes.shape.count) else {
        throw fault(name, "codes of \(type.bits) bits")
      }
      if found.shape.count == 1, count > 1 {
        throw setting("'\(SDNQForm.method)' with 'group_size' -2")
      }
      guard let found = Places(packed: count, scales: found.shape, levels: levels) else {
        throw fault(scale, "f32 [out, \(levels)] or [out, groups, \(levels)]")
      }
      places = found
    } else {
      if found.shape.rank == 2, found.shape[0] == 1, found.shape[1] > 1, !usesCodebook {
        throw setting("'\(SDNQForm.method)' with 'use_quantized_matmul'")
      }
      guard let found = Places(codes.shape, scales: found.shape, levels: levels) else {
        throw fault(scale, "f32 \(SDNQForm.scaleShape(codes.shape))")
      }
      places = found
    }
    (outer, length, inner) = (places.outer, places.length, places.inner)
    isOuterShared = places.isOuterShared
    shape = places.shape

    let zero = "\(layer).zero_point"
    if type.isUnsigned, !usesCodebook {
      guard let entry = weights.entry(zero), isNumbers(entry), entry.shape == found.shape else {
        throw fault(zero, "f32 \(found.shape)")
      }
      zeroPoint = zero
    } else {
      zeroPoint = nil
    }
    let (up, down) = ("\(layer).svd_up", "\(layer).svd_down")
    if let first = weights.entry(up) {
      let rank = first.shape.rank == 2 ? first.shape[1] : 0
      guard isNumbers(first), first.shape == [shape.rows, rank], rank <= shape.rowLength else {
        if settings["use_quantized_matmul"] == true {
          throw setting("'\(SDNQForm.method)' with 'use_quantized_matmul' and 'use_svd'")
        }
        throw fault(up, "f32 [\(shape.rows), rank]")
      }
      guard let second = weights.entry(down), isNumbers(second),
        second.shape == [rank, shape.rowLength]
      else { throw fault(down, "f32 [\(rank), \(shape.rowLength)]") }
      product = (up, down)
    } else {
      product = nil
    }
    rotation =
      settings["use_hadamard"] == true
      ? Self.rotation(
        channels: shape.rank > 1 ? shape[1] : 0,
        size: settings["hadamard_group_size"]?.integer ?? 256) : nil
  }

  /// The size of rotated groups of a weight with that many input channels.
  private static func rotation(channels: Int, size: Int) -> Int? {
    guard channels > 0, size > 0 else { return nil }
    var group = 1
    while group < min(channels, size) { group *= 2 }
    while channels % group != 0 { group /= 2 }
    return group < 4 ? nil : group
  }

  // MARK: - The tensor

  /// Whether the weight is codes times scales and nothing else.
  private var isSymmetric: Bool {
    zeroPoint == nil && product == nil && rotation == nil && !usesCodebook
  }

  /// The tensor that the weight's tensors are joined to. Weights that no encoding holds become
  /// float16.
  func joint(in weights: any WeightSource) throws -> JoinedSource.Joint {
    if isSymmetric, let groups, groups.fit(name, shape, in: weights) {
      return groups.joint(name, shape)
    }
    let name = name
    let scale = scale
    let shape = shape
    let encoding: TensorEncoding? =
      switch type.storage {
      case .i8 where isSymmetric && isPerRow: .int8
      case .f8e4m3 where isSymmetric && scaleEntry.shape.count == 1: .float8
      default: nil
      }
    return JoinedSource.Joint(
      entry: TensorEntry(shape: shape, encoding: encoding ?? .plain(.f16)),
      taken: [scale] + [zeroPoint, product?.up, product?.down].compactMap { $0 }
    ) { base in
      if let encoding {
        var scales = try base.tensor(scale).floats()
        if encoding == .int8, scales.count == 1 {
          scales = [Float](repeating: scales[0], count: shape.rows)
        }
        return StoredTensor(
          shape: shape, encoding: encoding,
          parts: try base.tensor(name).parts + [ByteSlice(scales)])
      }
      return try StoredTensor(shape: shape, floats: try floats(base)).narrowed(
        to: .f16, named: name, in: base.location, from: type.storage.rawValue,
        because: "weights of this form are read as f16")
    }
  }

  /// Whether all numbers of a row have one scale.
  private var isPerRow: Bool {
    shape.count > 0 && outer == shape.rows && inner == 1
  }

  /// The weight's groups, where the scales are float16 and the codes have 4 or 8 bits.
  private var groups: SDNQGroups? {
    guard scaleEntry.encoding == .plain(.f16), !type.isUnsigned, inner == 1, length > 0,
      type.storage == .i8 || type == SDNQType("int4")
    else { return nil }
    return SDNQGroups(bits: type.bits, size: length)
  }

  /// The numbers of the weight.
  private func floats(_ base: any WeightSource) throws -> [Float] {
    if shape.count == 0 { return [] }
    let codes = try base.tensor(name)
    let scales = try base.tensor(scale).floats()
    var floats: [Float]
    if usesCodebook {
      let levels = 1 << type.bits
      floats = type.codes(codes.parts[0].array).map(Float.init)
      forEachRun { start, outer, inner in
        for index in stride(from: start + inner, to: start + length * self.inner, by: self.inner) {
          floats[index] = scales[(outer * levels + Int(floats[index])) * self.inner + inner]
        }
      }
    } else {
      if let values = type.values {
        floats = type.codes(codes.parts[0].array).map { values[Int($0)] }
      } else {
        floats = codes.floats()
      }
      let zeros = try zeroPoint.map { try base.tensor($0).floats() }
      forEachRun { start, outer, inner in
        let place = (isOuterShared ? 0 : outer) * self.inner + inner
        let scale = scales[place]
        let indexes = stride(from: start + inner, to: start + length * self.inner, by: self.inner)
        if let zero = zeros?[place] {
          for index in indexes { floats[index] = floats[index] * scale + zero }
        } else {
          for index in indexes { floats[index] *= scale }
        }
      }
    }
    if let product { try add(product, base, to: &floats) }
    if let rotation {
      var span = floats.mutableSpan
      rotateHadamard(&span, groupSize: rotation)
    }
    return floats
  }

  /// Calls `body` for each run of numbers with one scale: with the index where its outer place
  /// begins, and its outer and inner place.
  private func forEachRun(_ body: (_ start: Int, _ outer: Int, _ inner: Int) -> Void) {
    for outer in 0..<outer {
      for inner in 0..<inner { body(outer * length * self.inner, outer, inner) }
    }
  }

  /// Adds the product of two matrices.
  private func add(
    _ product: (up: String, down: String), _ base: any WeightSource, to floats: inout [Float]
  ) throws {
    let up = try base.tensor(product.up)
    let (factors, down) = (up.floats(), try base.tensor(product.down).floats())
    let (rank, width) = (up.shape[1], shape.rowLength)
    for row in 0..<shape.rows {
      for step in 0..<rank {
        let factor = factors[row * rank + step]
        for column in 0..<width {
          floats[row * width + column] += factor * down[step * width + column]
        }
      }
    }
  }
}

/// Where the numbers with one scale lie.
private struct Places {
  let outer: Int
  let length: Int
  let inner: Int
  let isOuterShared: Bool
  /// The shape of the weight, without groups.
  let shape: Shape

  /// The places of packed codes, whose shape follows from that of their scales.
  init?(packed count: Int, scales: Shape, levels: Int) {
    let axis = scales.rank % 2 == 1 ? 2 : 1
    guard 2...5 ~= scales.rank, scales[axis] == levels else { return nil }
    let others = scales.count / levels
    guard others > 0, count % others == 0 else { return nil }
    var extents = scales.extents
    extents[axis] = count / others
    guard let codes = Shape(checking: extents) else { return nil }
    self.init(codes, scales: scales, levels: levels)
  }

  init?(_ codes: Shape, scales: Shape, levels: Int) {
    // One scale for each row, or one number.
    if levels == 1, codes.rank > 0,
      scales.count == 1 || scales.count == codes.rows && scales.rows == codes.rows
    {
      (outer, length, inner, shape) = (codes.rows, codes.rowLength, 1, codes)
      isOuterShared = scales.count == 1
      return
    }
    let axis = scales.rank % 2 == 1 ? 2 : 1
    guard 2...5 ~= scales.rank, codes.rank == scales.rank, scales[axis] == levels,
      codes.extents.prefix(axis) == scales.extents.prefix(axis),
      codes.extents.dropFirst(axis + 1) == scales.extents.dropFirst(axis + 1)
    else { return nil }
    let kernel = Array(codes.extents.dropFirst(axis + 1))
    outer = codes.extents.prefix(axis).reduce(1, *)
    length = codes[axis]
    inner = kernel.reduce(1, *)
    isOuterShared = false
    shape = Shape(axis == 2 ? [codes[0], codes[1] * codes[2]] + kernel : codes.extents)
  }
}

/// Multiplies each group of `groupSize` numbers by a Hadamard matrix, which is its own inverse: that
/// of ``rotate(_:groupSize:)`` for powers of 4, and Sylvester's for other powers of 2.
///
/// - Precondition: `groupSize` is a power of 2 and divides the count of numbers.
private func rotateHadamard(_ numbers: inout MutableSpan<Float>, groupSize: Int) {
  if groupSize.trailingZeroBitCount % 2 == 0 {
    rotate(&numbers, groupSize: groupSize)
    return
  }
  var step = 1
  while step < groupSize {
    for block in stride(from: 0, to: numbers.count, by: 2 * step) {
      for index in block..<block + step {
        let (a, b) = (numbers[index], numbers[index + step])
        numbers[index] = a + b
        numbers[index + step] = a - b
      }
    }
    step *= 2
  }
  let factor = 1 / Float(groupSize).squareRoot()
  for index in numbers.indices { numbers[index] *= factor }
}
