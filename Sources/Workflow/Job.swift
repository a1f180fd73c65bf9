package import Support

/// One piece of work as a value: what to read, what to do, where to write.
///
/// A client (the command line, a server) makes a job and runs it. A job runs inside a task.
/// Cancelling the task stops the job between two units of work and leaves no output behind.
package protocol Job: Sendable {
  associatedtype Outcome: JobOutcome

  /// Does the work on the current executor. Clients call ``run(threads:_:)``, which provides a
  /// thread for it.
  func perform(_ events: @escaping EventSink) async throws -> Outcome
}

/// The result of a job.
package protocol JobOutcome: Sendable {
  /// The facts, for programs.
  var json: JSONValue { get }
  /// The facts, for people: a few lines without a trailing line break.
  var text: String { get }
  /// What a user can do next; a client words each in its own terms.
  var suggestions: [Remedy] { get }
}

extension Job {
  /// Runs the job on a thread of its own.
  ///
  /// - Parameters:
  ///   - threads: the maximum number of threads of all computing, in ``threadCounts``; `nil` is
  ///     that of the task, which is one per processor unless a caller sets it. Results do not
  ///     depend on it.
  ///   - events: receives the job's events, on the job's thread.
  /// - Throws: ``JobError`` for another number of threads, ``FileError`` for an input that changed
  ///   while it was read, the job's errors, or `CancellationError`.
  package func run(threads: Int? = nil, _ events: @escaping EventSink) async throws -> Outcome {
    try checkThreads(threads)
    return try await ComputeQueue(threads: threads).run {
      try await MappedFiles().recording { try await perform(events) }
    }
  }
}

extension JobOutcome {
  package var suggestions: [Remedy] { [] }

  /// ``json`` as text, with one line per member.
  package var jsonText: String { json.text(indent: 2) }
}

/// A request that cannot be carried out. The description states the facts.
package struct JobError: RemediableError, Equatable {
  package let description: String
  package let remedy: Remedy?

  package init(_ description: String, remedy: Remedy? = nil) {
    self.description = description
    self.remedy = remedy
  }

  /// A name that is not in a list: `family 'x' is unknown (did you mean 'a'?); expected a or b`.
  init(unknown name: String, _ noun: String, expected names: [String]) {
    self.init(
      "\(noun) '\(shown(name))' is unknown\(didYouMean(similarNames(to: name, among: names)))"
        + "; expected \(alternatives(names))")
  }

  static func noUNet(_ location: String) -> JobError {
    JobError("\(location): the model has no U-Net")
  }
}

/// An interruption of a job that leaves results behind. The description names them.
package protocol InterruptedJob: RemediableError {}

/// A check that ran and failed: a threshold of `verify` that the candidate does not meet.
package struct CheckNotMet: Error, Equatable, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}

extension JSONObject {
  /// The object followed by `members`.
  func appending(_ members: JSONObject) -> JSONObject {
    JSONObject(self.members.map { ($0.key, $0.value) } + members.members.map { ($0.key, $0.value) })
  }
}
