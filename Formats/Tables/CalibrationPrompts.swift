/// The default calibration prompts.
///
/// Forty sentences that differ in subject (people, animals, places, things, abstract), medium
/// (photograph, painting, drawing, render), light and length, so that activations resemble those of
/// typical prompts. A model trained on a special subject needs prompts of that subject.
package enum CalibrationPrompts {
  package static let all: [String] = [
    "a photo of a red fox standing in fresh snow, soft morning light",
    "portrait of an old fisherman with a grey beard, studio lighting, 85mm lens",
    "a bowl of ramen with a soft-boiled egg, steam rising, seen from above",
    "an oil painting of a harbour at sunset with small sailing boats",
    "a cat asleep on a pile of books beside a window",
    "a narrow street in an old town after rain, lanterns reflected in puddles",
    "a watercolour of wild poppies in a wheat field",
    "a steam locomotive crossing a stone viaduct in the mountains",
    "macro photograph of a dragonfly on a blade of grass, blurred background",
    "an astronaut planting a flag on a small green moon, comic book style",
    "two children flying a kite on a windy beach",
    "a medieval castle on a cliff above a stormy sea, dramatic clouds",
    "a minimalist living room with a yellow armchair and a tall plant",
    "a pencil sketch of a galloping horse",
    "the skyline of a big city at night, long exposure, light trails of cars",
    "a plate of strawberries and blueberries on a white wooden table",
    "a robot repairing a bicycle in a garage, detailed illustration",
    "a wooden cabin beside a frozen lake under the northern lights",
    "a woman in a green dress dancing in a ballroom, impressionist painting",
    "an aerial view of a river winding through a rain forest",
    "a stained glass window showing a blue peacock",
    "a golden retriever puppy running towards the camera, shallow depth of field",
    "a desert landscape with red rocks and a single cactus, clear sky",
    "an isometric drawing of a tiny coffee shop, pastel colours",
    "a vintage car parked in front of a diner, neon lights",
    "a bouquet of white lilies in a glass vase on black background",
    "a knight in shining armour resting under an oak tree, fantasy art",
    "a snow leopard climbing over boulders, wildlife photography",
    "the inside of a cathedral with light falling through high windows",
    "a cup of black coffee and an open notebook on a desk",
    "a Japanese garden with a red bridge over a pond in autumn",
    "low poly 3D render of a whale swimming between icebergs",
    "a street musician playing the violin, black and white photograph",
    "an abstract composition of circles and straight lines in primary colours",
    "a market stall with oranges, lemons and hand-written price signs",
    "a waterfall in a green canyon, long exposure, mist",
    "a chess board seen from the side with a single white queen in focus",
    "a hot air balloon over vineyards at dawn",
    "a child's drawing of a house with a smoking chimney and a big sun",
    "a close-up of a human eye with a green iris, very detailed",
  ]
}
