/// The place of an image's top left corner in a larger image, in pixels.
package struct Crop: Hashable, Sendable {
  package let top: Int
  package let left: Int

  package init(top: Int, left: Int) {
    self.top = top
    self.left = left
  }
}
