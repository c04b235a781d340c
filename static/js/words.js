// What scripts say, in the page's language: the server sends the translations that differ.
const source = document.getElementById("words");
const words = source ? JSON.parse(source.textContent) : {};

export const say = (word) => words[word] ?? word;
