// In: text. Out: nothing; it throws for the one word that chance alone hardly finds. What the guided run is tested with.

export function walkMaze(text: string): string {
  if (text[0] === "c") {
    if (text[1] === "o") {
      if (text[2] === "r") {
        if (text[3] === "d") {
          if (text[4] === "o") {
            if (text[5] === "n") throw new Error("the way out");
            return "five";
          }
          return "four";
        }
        return "three";
      }
      return "two";
    }
    return "one";
  }
  return "none";
}
