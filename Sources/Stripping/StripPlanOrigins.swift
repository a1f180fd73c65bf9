import Models
import Support
internal import Tensors

extension StripPlan {
  /// Maps every tensor of the student to the tensor of the teacher that it comes from.
  ///
  /// - Throws: `tensorMismatch` when the teacher's tensor is missing or has another shape.
  static func origins(
    of student: UNetConfig, sources: [(student: String, teacher: String)], identities: [String],
    teacher: UNetConfig
  ) throws(StripError.Reason) -> [Origin] {
    let shapes = Dictionary(
      uniqueKeysWithValues: teacher.modules.tensors.map { ($0.name, $0.shape) })
    let blocks = Dictionary(uniqueKeysWithValues: sources.map { ($0.student, $0.teacher) })
    let zeroed = Set(identities.flatMap { ["\($0).proj_out.weight", "\($0).proj_out.bias"] })

    var origins: [Origin] = []
    for tensor in student.modules.tensors {
      var name = tensor.name
      if let block = longestPrefix(of: name, in: blocks), let source = blocks[block] {
        name = source + name.dropFirst(block.count)
      }
      guard shapes[name] == tensor.shape else {
        throw .tensorMismatch(
          tensor.name, from: name, found: shapes[name].map { "\($0)" } ?? "missing",
          expected: "\(tensor.shape)")
      }
      origins.append(
        Origin(tensor: tensor.name, teacher: name, isZeroed: zeroed.contains(tensor.name)))
    }
    return origins
  }

  /// Records the removed, renamed and zeroed tensors, and the changes of the config.
  static func ledger(
    recipe: String?, drops: [String], removal: BlockRemoval,
    sources: [(student: String, teacher: String)], origins: [Origin], teacher: UNetConfig,
    student: UNetConfig
  ) -> StripLedger {
    let teacherTensors = teacher.modules.tensors
    let studentTensors = student.modules.tensors
    let shapes = Dictionary(uniqueKeysWithValues: studentTensors.map { ($0.name, $0.shape) })
    let kept = Set(origins.map(\.teacher))
    return StripLedger(
      recipe: recipe, drops: drops,
      teacher: count(teacherTensors), student: count(studentTensors),
      removed: removed(teacherTensors.filter { !kept.contains($0.name) }, causes: removal.causes),
      renamed: sources.filter { $0.student != $0.teacher }
        .map { StripLedger.Renamed(student: $0.student, teacher: $0.teacher) },
      zeroed: origins.filter(\.isZeroed).map {
        StripLedger.Zeroed(tensor: $0.tensor, parameters: shapes[$0.tensor]?.count ?? 0)
      },
      changes: changes(from: teacher.json, to: student.json),
      mirrored: removal.causes.filter { if case .mirrors = $0.value { true } else { false } }
        .map(\.key).sorted())
  }

  private static func count(_ tensors: [TensorSpec]) -> StripLedger.Count {
    StripLedger.Count(
      tensors: tensors.count, parameters: tensors.reduce(0) { $0 + $1.shape.count })
  }

  /// Counts removed tensors by the dropped block that contains them, in the teacher's order.
  private static func removed(
    _ tensors: [TensorSpec], causes: [String: BlockRemoval.Cause]
  ) -> [StripLedger.Removed] {
    var blocks: [String] = []
    var counts: [String: (tensors: Int, parameters: Int)] = [:]
    for tensor in tensors {
      let block = longestPrefix(of: tensor.name, in: causes) ?? tensor.name
      if counts[block] == nil { blocks.append(block) }
      counts[block, default: (0, 0)].tensors += 1
      counts[block, default: (0, 0)].parameters += tensor.shape.count
    }
    return blocks.map { block in
      StripLedger.Removed(
        block: block, cause: causes[block]?.description ?? "",
        tensors: counts[block]?.tensors ?? 0, parameters: counts[block]?.parameters ?? 0)
    }
  }

  private static func changes(
    from teacher: JSONObject, to student: JSONObject
  ) -> [StripLedger.Change] {
    let added = student.keys.filter { teacher[$0] == nil }
    return (teacher.keys + added).filter { teacher[$0] != student[$0] }
      .map { StripLedger.Change(field: $0, before: teacher[$0], after: student[$0]) }
  }

  /// The longest prefix of whole name parts that is a key of `table`.
  private static func longestPrefix<Value>(of name: String, in table: [String: Value]) -> String? {
    var prefix = Substring(name)
    while let dot = prefix.lastIndex(of: ".") {
      prefix = prefix[..<dot]
      if table[String(prefix)] != nil { return String(prefix) }
    }
    return nil
  }
}
