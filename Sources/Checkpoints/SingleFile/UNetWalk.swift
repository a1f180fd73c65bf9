import Formats
import Support
import Tensors

/// Finds the blocks of a U-Net from its LDM tensor names, in either numbering.
struct UNetWalk {
  /// One entry of `input_blocks` or `output_blocks`.
  private struct Entry {
    var hasResnet = false
    var hasAttention = false
    /// The name of the convolution that changes the resolution: `0.op`, `2.conv`.
    var resampler: String?
  }

  /// Pairs of diffusers' names and the names in the file.
  let pairs: NamePairs
  let topology: UNetTopology
  /// The transformer depth of each attention, by level.
  let downDepths: [[Int]]
  let midDepth: Int?
  let upDepths: [[Int]]
  /// The output channels of each level.
  let channels: [Int]

  /// - Parameters:
  ///   - names: names below the U-Net's prefix.
  ///   - shape: a tensor's shape, by such a name.
  ///   - path: the file, for errors.
  init(
    names: [String], path: String, shape: (String) -> Shape?
  ) throws(SingleFileError) {
    var input: [Int: Entry] = [:]
    var output: [Int: Entry] = [:]
    var middle: Set<Int> = []
    var middleAttention: Int?
    var depths: [String: Int] = [:]
    for name in names {
      let parts = name.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count > 2, let number = Int(parts[1]), 0..<10_000 ~= number else { continue }
      if let at = parts.firstIndex(of: "transformer_blocks"), at + 1 < parts.count,
        let block = Int(parts[at + 1]), 0..<10_000 ~= block
      {
        let place = parts[..<at].joined(separator: ".")
        depths[place] = max(depths[place] ?? 0, block + 1)
      }
      switch parts[0] {
      case "input_blocks": Self.record(parts, in: &input[number, default: Entry()])
      case "output_blocks": Self.record(parts, in: &output[number, default: Entry()])
      case "middle_block":
        if parts[2] == "in_layers" { middle.insert(number) }
        if ["norm", "proj_in", "transformer_blocks"].contains(parts[2]) {
          middleAttention = number
        }
      default: break
      }
    }

    var pairs = NamePairs()
    for (diffusers, other) in LDMKeys.unetModules { pairs.add(diffusers, other) }
    let down = Self.levels(input)
    let up = Self.levels(output)
    guard !down.isEmpty || !up.isEmpty else {
      throw .topology(
        path: path, part: "the U-Net", found: "no resnet blocks",
        expected: "tensors such as 'input_blocks.1.0.in_layers.2.weight'")
    }
    guard down.count == up.count else {
      throw .topology(
        path: path, part: "the U-Net",
        found: "\(counted(down.count, "level")) down and \(up.count) up",
        expected: "as many up as down")
    }
    var channels: [Int] = []
    for (index, level) in down.enumerated() {
      let block = "down_blocks.\(index)"
      for (layer, number) in level.layers.enumerated() {
        pairs.add("\(block).resnets.\(layer)", "input_blocks.\(number).0", LDMKeys.unetResnet)
        if input[number]?.hasAttention == true {
          pairs.add("\(block).attentions.\(layer)", "input_blocks.\(number).1")
        }
      }
      if let (number, part) = level.resampler {
        pairs.add("\(block).downsamplers.0.conv", "input_blocks.\(number).\(part)")
      }
      // A level without resnets has the channels of its downsampler.
      let weights =
        level.layers.last.map { "input_blocks.\($0).0.out_layers.3.weight" }
        ?? level.resampler.map { "input_blocks.\($0.number).\($0.part).weight" }
      guard let weights, let found = shape(weights) else {
        throw .missing(path: path, tensor: weights ?? "input_blocks.1.0.out_layers.3.weight")
      }
      guard 1...Self.widthLimit ~= found.rows else {
        throw .misshapen(
          path: path, tensor: weights, found: found,
          expected: "1 to \(Self.widthLimit) output channels")
      }
      channels.append(found.rows)
    }
    for (index, level) in up.enumerated() {
      let block = "up_blocks.\(index)"
      for (layer, number) in level.layers.enumerated() {
        pairs.add("\(block).resnets.\(layer)", "output_blocks.\(number).0", LDMKeys.unetResnet)
        if output[number]?.hasAttention == true {
          pairs.add("\(block).attentions.\(layer)", "output_blocks.\(number).1")
        }
      }
      if let (number, part) = level.resampler {
        pairs.add("\(block).upsamplers.0.conv", "output_blocks.\(number).\(part)")
      }
    }
    let middleResnets = middle.sorted()
    for (resnet, number) in middleResnets.enumerated() {
      pairs.add("mid_block.resnets.\(resnet)", "middle_block.\(number)", LDMKeys.unetResnet)
    }
    if let middleAttention {
      pairs.add("mid_block.attentions.0", "middle_block.\(middleAttention)")
    }

    func topology(
      _ levels: [(layers: [Int], resampler: (number: Int, part: String)?)], _ entries: [Int: Entry]
    ) -> [UNetTopology.Level] {
      levels.map { level in
        UNetTopology.Level(
          attentions: level.layers.map { entries[$0]?.hasAttention == true },
          hasResampler: level.resampler != nil)
      }
    }
    func depth(_ side: String, _ level: [Int], _ entries: [Int: Entry]) -> [Int] {
      level.filter { entries[$0]?.hasAttention == true }.map { depths["\(side).\($0).1"] ?? 0 }
    }
    self.pairs = pairs
    self.channels = channels
    downDepths = down.map { depth("input_blocks", $0.layers, input) }
    upDepths = up.map { depth("output_blocks", $0.layers, output) }
    midDepth = middleAttention.map { depths["middle_block.\($0)"] ?? 0 }
    self.topology = UNetTopology(
      down: topology(down, input),
      mid: middleResnets.isEmpty
        ? nil
        : UNetTopology.Mid(resnets: middleResnets.count, hasAttention: middleAttention != nil),
      up: topology(up, output))
    try Self.check(self.topology, path: path)
  }

  /// The limit on channels. A header may claim any number of rows where another dimension is 0.
  private static let widthLimit = 1 << 20

  /// Records a tensor's name in its entry.
  private static func record(_ parts: [Substring], in entry: inout Entry) {
    switch parts[2] {
    case "0" where parts.count > 3 && parts[3] == "in_layers": entry.hasResnet = true
    case "0" where parts.count > 3 && parts[3] == "op": entry.resampler = "0.op"
    case "1" where parts.count > 3 && ["norm", "proj_in", "transformer_blocks"].contains(parts[3]):
      entry.hasAttention = true
    default: break
    }
    if parts.count > 4, parts[3] == "conv", parts[0] == "output_blocks" {
      entry.resampler = "\(parts[2]).conv"
    }
  }

  /// Groups entries by level. A level ends with a resampler.
  private static func levels(
    _ entries: [Int: Entry]
  ) -> [(layers: [Int], resampler: (number: Int, part: String)?)] {
    var levels: [(layers: [Int], resampler: (number: Int, part: String)?)] = []
    var layers: [Int] = []
    for (number, entry) in entries.sorted(by: { $0.key < $1.key }) {
      if entry.hasResnet { layers.append(number) }
      if let part = entry.resampler {
        levels.append((layers, (number, part)))
        layers = []
      }
    }
    if !layers.isEmpty || !levels.isEmpty { levels.append((layers, nil)) }
    return levels
  }

  /// Rejects topologies that no diffusers config can describe.
  private static func check(_ topology: UNetTopology, path: String) throws(SingleFileError) {
    let levels = topology.down.count
    for (index, level) in topology.down.enumerated() {
      let mirror = topology.up[levels - 1 - index]
      guard mirror.attentions.count == level.attentions.count + 1 else {
        throw .topology(
          path: path, part: "level \(index) of the U-Net",
          found:
            "\(counted(level.attentions.count, "resnet")) down and \(mirror.attentions.count) up",
          expected: "one more up than down")
      }
      for (way, attentions) in [("down", level.attentions), ("up", mirror.attentions)]
      where Set(attentions).count > 1 {
        throw .topology(
          path: path, part: "level \(index) of the U-Net's \(way) blocks",
          found: "attention after some resnets only", expected: "after all or none")
      }
    }
    if let mid = topology.mid,
      !(mid.resnets == 2 && mid.hasAttention || mid.resnets == 1 && !mid.hasAttention)
    {
      throw .topology(
        path: path, part: "the mid block",
        found:
          "\(counted(mid.resnets, "resnet")) \(mid.hasAttention ? "with" : "without") attention",
        expected: "two with attention or one without")
    }
  }
}
