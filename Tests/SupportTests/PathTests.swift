import Support
import Testing

@Suite struct PathTests {
  @Test(arguments: [
    ("a", "a"), ("a/", "a"), ("a/b//", "a/b"), ("/", "/"), ("//", "/"), ("", ""),
  ])
  func foldersHaveNoSlashAtTheirEnd(path: String, folder: String) {
    #expect(folderPath(path) == folder)
  }

  @Test(arguments: [
    ("y", "", "y"), ("y/", "", "y"), ("a/b", "a", "b"), ("a/b//", "a", "b"), ("/y", "/", "y"),
    ("/a/b", "/a", "b"), ("/", "/", ""), ("", "", ""), ("./y", ".", "y"), ("..", "", ".."),
  ])
  func partsOfAPath(path: String, folder: String, name: String) {
    let parts = PathParts(path)
    #expect(parts.folder == folder)
    #expect(parts.name == name)
  }

  @Test(arguments: [
    ("y", "y", ""), ("a.png", "a", "png"), ("a.b.png", "a.b", "png"), (".a", ".a", ""),
    ("a.d/b", "b", ""), ("a.", "a", ""),
  ])
  func extensions(path: String, stem: String, suffix: String) {
    let found = PathParts(path).stemAndExtension
    #expect(found.stem == stem)
    #expect(found.extension == suffix)
  }

  @Test func siblingsAreInTheSameFolder() {
    #expect(PathParts("y").sibling("z") == "z")
    #expect(PathParts("/y").sibling("z") == "/z")
    #expect(PathParts("a/y").sibling("z") == "a/z")
  }
}
