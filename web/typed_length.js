// The arrows of `length` step by 4, as Wan's 4n+1 needs it; a number that is typed stays, as SVD's 14 needs it.

export function allowTypedLength(node) {
  const length = node.widgets?.find((widget) => widget.name === "length" && widget.options?.step2 === 4);
  if (!length) return;
  length.callback = function (value) {
    this.value = Math.round(value);
  };
}
