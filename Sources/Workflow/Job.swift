package import Support

/// One piece of work as a value: what to read, what to do, where to write.
///
/// The command line and the server make jobs and run them; neither does any of the work. A job
/// runs inside a task: cancelling the task stops it between two units of work, and what it was
/// writing never appears.
package protocol Job: Sendable {
  associatedtype Outcome: JobOutcome
  func run(_ events: @escaping EventSink) async throws -> Outcome
}

/// What a job found or made.
package protocol JobOutcome: Sendable {
  /// The facts, for programs.
  var json: JSONValue { get }
  /// The facts, for people: a few lines without a trailing line break.
  var text: String { get }
}

extension JobOutcome {
  /// ``json`` as text, a line a member.
  package var jsonText: String { json.text(indent: 2) }
}

/// What a job says while it runs.
package enum JobEvent: Sendable {
  /// A stage begins: "reading", "calibrating".
  case stage(String)
  /// How far the stage is, in units of its own.
  case progress(done: Int, total: Int)
  /// Something that a person would want to know and that is no error.
  case note(String)
}

package typealias EventSink = @Sendable (JobEvent) -> Void

/// What a user asked for that cannot be done, in one sentence.
package struct JobError: Error, Equatable, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}

/// A check that ran and was not met: `verify` below a threshold, a damaged file.
package struct CheckNotMet: Error, Equatable, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}

extension JSONObject {
  /// The object with `members` put after its own.
  func appending(_ members: JSONObject) -> JSONObject {
    JSONObject(self.members.map { ($0.key, $0.value) } + members.members.map { ($0.key, $0.value) })
  }
}
