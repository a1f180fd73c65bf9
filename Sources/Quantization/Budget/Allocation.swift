/// The choice of an option for each of many layers, so that the sum of their errors is small for the
/// sum of their bytes.
///
/// Of each layer, only options on the lower convex hull of error over bytes can be chosen. The steps
/// between neighbors on all hulls are sorted by the error that they save for a byte. The first k steps
/// together are the best choice for their bytes: that of the Lagrange multiplier that lies between the
/// steps k and k + 1 (Shoham and Gersho 1988).
package struct AllocationCurve: Sendable {
  /// A layer with the hull of its options.
  package struct Layer: Sendable {
    /// The module's name.
    package let name: String
    /// What the squared relative error of the layer's weights counts.
    package let sensitivity: Double
    /// From the fewest bytes to the most, with falling errors and falling savings for a byte.
    package let options: [LayerOption]
  }

  /// A step of one layer to its next larger option.
  private struct Step {
    let layer: Int
    let bytes: Double
    /// The error saved for each byte.
    let saving: Double
  }

  package let layers: [Layer]
  private let steps: [Step]

  /// - Parameter sensitivity: the sensitivity of a layer: its error for a ``LayerOption/squaredStep``
  ///   of 1.
  package init(_ layers: [LayerOptions], sensitivity: (LayerOptions) -> Double) {
    self.layers = layers.map {
      Layer(name: $0.name, sensitivity: sensitivity($0), options: $0.options.lowerHull)
    }
    var steps: [Step] = []
    for (index, layer) in self.layers.enumerated() {
      for (from, to) in zip(layer.options, layer.options.dropFirst()) {
        let bytes = to.bytes - from.bytes
        steps.append(
          Step(
            layer: index, bytes: bytes,
            saving: layer.sensitivity * (from.squaredStep - to.squaredStep) / bytes))
      }
    }
    // Equal savings keep their order, so that the steps of one layer do.
    self.steps = steps.enumerated().sorted {
      ($1.element.saving, $0.offset) < ($0.element.saving, $1.offset)
    }.map(\.element)
  }

  /// The number of steps from ``smallest`` to ``largest``.
  package var count: Int { steps.count }

  package var smallest: Allocation { allocation(steps: 0) }
  package var largest: Allocation { allocation(steps: count) }

  /// The best choice after some steps.
  package func allocation(steps count: Int) -> Allocation {
    var places = [Int](repeating: 0, count: layers.count)
    for step in steps[..<count] { places[step.layer] += 1 }
    return Allocation(layers: layers, places: places)
  }

  /// The allocation with the most bytes for which `fits` holds; `nil` where it does not hold for the
  /// smallest one.
  ///
  /// - Parameter fits: holds up to some size, and for none that is larger.
  package func largest(
    where fits: (Allocation) throws -> Bool
  ) rethrows -> Allocation? {
    guard try fits(smallest) else { return nil }
    // It holds at `low`, and not after `high`.
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high + 1) / 2
      if try fits(allocation(steps: middle)) { low = middle } else { high = middle - 1 }
    }
    return allocation(steps: low)
  }

  /// The allocation with the fewest bytes for which `fits` holds; `nil` where it holds for none.
  ///
  /// - Parameter fits: holds from some size.
  package func smallest(
    where fits: (Allocation) throws -> Bool
  ) rethrows -> Allocation? {
    guard try fits(largest) else { return nil }
    guard try !fits(smallest), let before = try largest(where: { try !fits($0) }) else {
      return smallest
    }
    return allocation(steps: before.places.reduce(0, +) + 1)
  }

  /// The best allocation of at most `bytes`: that of the largest multiplier, and then each further
  /// step that fits, the most useful first. `nil` where the smallest one is larger.
  package func allocation(within bytes: Double) -> Allocation? {
    guard let best = largest(where: { $0.bytes <= bytes }) else { return nil }
    var places = best.places
    var free = bytes - best.bytes
    var blocked: Set<Int> = []
    for step in steps.dropFirst(places.reduce(0, +)) where !blocked.contains(step.layer) {
      // Later steps of a layer need this one.
      if step.bytes > free {
        blocked.insert(step.layer)
      } else {
        places[step.layer] += 1
        free -= step.bytes
      }
    }
    return Allocation(layers: layers, places: places)
  }
}

/// An option for each layer.
package struct Allocation: Sendable {
  private let layers: [AllocationCurve.Layer]
  /// The index into each layer's options.
  fileprivate let places: [Int]

  fileprivate init(layers: [AllocationCurve.Layer], places: [Int]) {
    self.layers = layers
    self.places = places
  }

  /// The options by the names of modules.
  package var options: [(name: String, option: LayerOption)] {
    zip(layers, places).map { ($0.name, $0.options[$1]) }
  }

  /// Bytes of all layers.
  package var bytes: Double {
    zip(layers, places).reduce(0) { $0 + $1.0.options[$1.1].bytes }
  }

  /// The sum of the layers' errors.
  package var error: Double {
    zip(layers, places).reduce(0) { $0 + $1.0.sensitivity * $1.0.options[$1.1].squaredStep }
  }
}

extension [LayerOption] {
  /// The options on the lower convex hull of error over bytes, from the fewest bytes to the least
  /// error.
  var lowerHull: [LayerOption] {
    var hull: [LayerOption] = []
    let ordered = enumerated().sorted {
      ($0.element.bytes, $0.element.squaredStep, $0.offset)
        < ($1.element.bytes, $1.element.squaredStep, $1.offset)
    }.map(\.element)
    for option in ordered {
      if let last = hull.last,
        option.bytes == last.bytes || option.squaredStep >= last.squaredStep
      {
        continue
      }
      while hull.count > 1, isAbove(hull[hull.count - 1], hull[hull.count - 2], option) {
        hull.removeLast()
      }
      hull.append(option)
    }
    return hull
  }

  /// Whether `middle` is on or above the line from `left` to `right`.
  private func isAbove(_ middle: LayerOption, _ left: LayerOption, _ right: LayerOption) -> Bool {
    (middle.squaredStep - left.squaredStep) * (right.bytes - left.bytes)
      >= (right.squaredStep - left.squaredStep) * (middle.bytes - left.bytes)
  }
}
