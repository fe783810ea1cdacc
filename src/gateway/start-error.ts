// In: nothing. Out: the error of a start that the operator can mend: its message is one line, the exit code 2.

export class StartError extends Error {}
