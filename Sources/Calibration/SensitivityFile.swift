internal import Support

/// Sensitivities in a JSON file beside a calibration, so that they are measured once. The file can be
/// read and edited. Those to rounding and the scores of blocks, which are removed, have a file each.
///
/// `Formats/calibration.md` specifies it.
package struct SensitivityFile: Sendable, Equatable {
  package static let version = 1
  /// The most bytes of a file: those of a thousand layers in a thousand calls.
  private static let byteLimit = 32 << 20

  /// A set of removed blocks with the error that they cause together.
  package struct RemovedSet: Sendable, Equatable {
    /// The dropped blocks, sorted.
    package let drops: [String]
    /// The number of calls in which the error is measured.
    package let calls: Int
    /// The relative error of the guided prediction (``GuidedErrorMeasurement``).
    package let error: Double

    package init(drops: [String], calls: Int, error: Double) {
      self.drops = drops.sorted()
      self.calls = calls
      self.error = error
    }
  }

  package let path: String
  package let change: Sensitivities.Change
  /// The calibrated weights, and the sampling of the calls.
  package let model: CalibratedModel
  package let settings: CalibrationSettings
  package var sensitivities: Sensitivities
  /// Sets of units whose joint removal is measured, in the order of the measurements. Empty for
  /// roundings.
  package var sets: [RemovedSet] = []

  /// The file beside `calibration`.
  package init(
    _ sensitivities: Sensitivities, to change: Sensitivities.Change = .rounding,
    beside calibration: CalibrationFile
  ) {
    path = Self.path(beside: calibration.path, of: change)
    self.change = change
    model = calibration.model
    settings = calibration.settings
    self.sensitivities = sensitivities
  }

  package static func path(
    beside calibration: String, of change: Sensitivities.Change = .rounding
  ) -> String {
    calibration + change.ending
  }

  /// The joint error of a set of dropped blocks; `nil` where it is not measured in as many calls.
  package func error(ofDropping drops: [String], calls: Int) -> Double? {
    let drops = drops.sorted()
    return sets.first { $0.calls == calls && $0.drops == drops }?.error
  }

  /// Whether the measurements of `other` belong here: the same weights, sampling, units and calls.
  package func matches(_ other: SensitivityFile) -> Bool {
    change == other.change && model == other.model && settings == other.settings
      && sensitivities.calls == other.sensitivities.calls
      && sensitivities.units.map(\.modules) == other.sensitivities.units.map(\.modules)
  }

  /// Merges the files beside calibrations that are merged.
  ///
  /// - Returns: `nil` where no calibration has such a file.
  /// - Throws: ``CalibrationError`` when some calibrations have such a file and others do not, or when
  ///   the files differ in more than their calls.
  package static func merging(
    beside calibrations: [String], to change: Sensitivities.Change = .rounding,
    for merged: CalibrationFile
  ) throws -> SensitivityFile? {
    let paths = calibrations.map { path(beside: $0, of: change) }
    guard let present = paths.first(where: isFile) else { return nil }
    if let absent = paths.first(where: { !isFile($0) }) {
      throw CalibrationError.missingSensitivities(
        path: absent, present: present, noun: change.noun)
    }
    let files = try paths.map { try SensitivityFile(path: $0, of: change) }
    for file in files {
      func refuse(_ fault: String) -> CalibrationError {
        .otherSensitivities(paths: [file.path, merged.path], fault: fault)
      }
      if file.model != merged.model { throw refuse("the models differ") }
      if file.settings != merged.settings { throw refuse("the settings differ") }
      if !file.sensitivities.isComplete { throw refuse("\(file.path) is not complete") }
    }
    guard let all = Sensitivities.merging(files.map(\.sensitivities)) else {
      throw CalibrationError.otherSensitivities(
        paths: paths, fault: "their units differ, or two of them have the same call")
    }
    return SensitivityFile(all, to: change, beside: merged)
  }

  package func write() throws {
    let file = try ReplacingFile(path: path, replacing: true)
    try file.write(Array((JSONValue.object(json).text(indent: 2) + "\n").utf8))
    try file.commit()
  }

  private var json: JSONObject {
    var object: JSONObject = [
      "format": .string(change.format), "version": .integer(Self.version),
      "model": .object(model.json), "settings": .object(settings.json),
    ]
    if change == .rounding { object["relative_step"] = .number(Sensitivities.relativeStep) }
    object["calls"] = .array(
      sensitivities.calls.map { (call: Sensitivities.Call) -> JSONValue in
        var object = call.run.json
        object["step"] = .integer(call.step)
        return .object(object)
      })
    object["units"] = .array(
      sensitivities.units.map { unit in
        .object(
          JSONObject([
            ("name", .string(unit.name)), (change.modulesMember, .strings(unit.modules)),
            (change.weightsMember, .integer(unit.weightCount)),
            ("errors", .array(unit.errors.map { .number($0) })),
          ]))
      })
    if change == .removal { object["sets"] = .array(sets.map(\.json)) }
    return object
  }
}

extension SensitivityFile.RemovedSet {
  fileprivate var json: JSONValue {
    ["drops": .strings(drops), "calls": .integer(calls), "error": .number(error)]
  }
}

extension Sensitivities.Change {
  /// What the file holds, in messages.
  package var noun: String { self == .rounding ? "sensitivities" : "block scores" }

  /// What follows the calibration's name.
  fileprivate var ending: String { self == .rounding ? ".sensitivity.json" : ".blocks.json" }

  fileprivate var format: String { self == .rounding ? "decant-sensitivities" : "decant-blocks" }

  /// The member of ``Sensitivities/Unit/modules``.
  fileprivate var modulesMember: String { self == .rounding ? "modules" : "blocks" }

  /// The member of ``Sensitivities/Unit/weightCount``.
  fileprivate var weightsMember: String { self == .rounding ? "weights" : "parameters" }

  /// Every member of the file, in its order.
  fileprivate var members: [String] {
    ["format", "version", "model", "settings"] + (self == .rounding ? ["relative_step"] : [])
      + ["calls", "units"] + (self == .removal ? ["sets"] : [])
  }
}

extension SensitivityFile {
  /// - Throws: ``CalibrationError`` for a file of another form, or `FileError`.
  package init(path: String, of change: Sensitivities.Change = .rounding) throws {
    guard let bytes = try bytesToEnd(ofFileOrPipe: path, limit: Self.byteLimit) else {
      throw CalibrationError.tooLarge(path: path, limit: Self.byteLimit, noun: change.noun)
    }
    let value: JSONValue
    do { value = try JSONValue(parsing: ByteSlice(bytes).bytes) } catch {
      throw CalibrationError.notJSON(path: path, part: "file of \(change.noun)", error: error)
    }
    let reader = MemberReader(path: path, document: change.noun)
    let object = try reader.members(value.object ?? [:], change.members)
    guard object["format"] == .string(change.format) else {
      throw reader.refuse("format", object["format"], "'\(change.format)'")
    }
    guard object["version"] == .integer(Self.version) else {
      throw reader.refuse("version", object["version"], "\(Self.version)")
    }
    if change == .rounding, object["relative_step"] != .number(Sensitivities.relativeStep) {
      throw reader.refuse("relative_step", object["relative_step"], "\(Sensitivities.relativeStep)")
    }
    let calls = try reader.array(object, "calls")
    let units = try reader.array(object, "units")
    self.path = path
    self.change = change
    model = try reader.model(object)
    settings = try reader.settings(object, hasCalls: true)
    sensitivities = Sensitivities(
      calls: try calls.enumerated().map { index, value in
        let name = "calls[\(index)]"
        return Sensitivities.Call(
          run: try reader.run(value, name, and: ["step"]),
          step: try reader.integer(value.object ?? [:], "step", of: name, from: 0))
      },
      units: try units.enumerated().map { index, value in
        try reader.unit(value, "units[\(index)]", of: change, calls: calls.count)
      })
    let sorted = sensitivities.calls.sorted()
    guard sensitivities.calls == sorted, Set(sorted).count == sorted.count else {
      throw reader.refuse("calls", object["calls"], "sorted calls, none twice")
    }
    if change == .removal {
      sets = try reader.array(object, "sets").enumerated().map { index, value in
        try reader.removedSet(value, "sets[\(index)]")
      }
    }
  }
}

extension MemberReader {
  fileprivate func array(
    _ object: JSONObject, _ key: String
  ) throws(CalibrationError) -> [JSONValue] {
    guard let values = object[key]?.array else { throw refuse(key, object[key], "an array") }
    return values
  }

  /// A member that is a list of names, at least one.
  private func names(
    _ object: JSONObject, _ key: String, of parent: String, _ expected: String
  ) throws(CalibrationError) -> [String] {
    let names = (object[key]?.array ?? []).compactMap(\.string)
    guard !names.isEmpty, names.count == object[key]?.array?.count else {
      throw refuse(full(key, parent), object[key], expected)
    }
    return names
  }

  fileprivate func unit(
    _ value: JSONValue, _ name: String, of change: Sensitivities.Change, calls: Int
  ) throws(CalibrationError) -> Sensitivities.Unit {
    let (modules, weights) = (change.modulesMember, change.weightsMember)
    let unit = try members(
      try object(value, name), ["name", modules, weights, "errors"], of: name)
    let errors = (unit["errors"]?.array ?? []).compactMap(\.number)
    let moduleNames = try names(
      unit, modules, of: name, change == .rounding ? "names of layers" : "names of blocks")
    guard errors.count == unit["errors"]?.array?.count, errors.count <= calls,
      errors.allSatisfy({ $0 >= 0 && $0.isFinite })
    else {
      throw refuse(
        full("errors", name), unit["errors"], "at most \(calls) numbers of at least 0")
    }
    return Sensitivities.Unit(
      name: try string(unit, "name", of: name), modules: moduleNames,
      weightCount: try integer(unit, weights, of: name), errors: errors)
  }

  fileprivate func removedSet(
    _ value: JSONValue, _ name: String
  ) throws(CalibrationError) -> SensitivityFile.RemovedSet {
    let set = try members(try object(value, name), ["drops", "calls", "error"], of: name)
    guard let error = set["error"]?.number, error >= 0, error.isFinite else {
      throw refuse(full("error", name), set["error"], "a number of at least 0")
    }
    return SensitivityFile.RemovedSet(
      drops: try names(set, "drops", of: name, "names of blocks"),
      calls: try integer(set, "calls", of: name), error: error)
  }
}
