// Rows of which an invocation holds the results; 16 make a whole word of a packed mask.
const RM = 16u;
