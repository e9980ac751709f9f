// Numbers for people; a dash for those that are none.

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const written = (options) => {
  const format = new Intl.NumberFormat("en-US", options);
  return (value) => (isNumber(value) ? format.format(value).replace("-", "−") : "–");
};
const whole = written({ maximumFractionDigits: 0 });
const three = written({ maximumSignificantDigits: 3 });
const fixed2 = written({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
const fixed3 = written({ minimumFractionDigits: 3, maximumFractionDigits: 3 });
const fixed4 = written({ minimumFractionDigits: 4, maximumFractionDigits: 4 });
const signed = (value) => (isNumber(value) && value > 0 ? "+" : "") + fixed2(value);
const percentOnce = written({ minimumFractionDigits: 1, maximumFractionDigits: 1 });
const percentFine = written({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
const small = (value) => (isNumber(value) && value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential(1).replace("e-", "e−") : three(value));

function percent(share) {
  if (!isNumber(share)) return "–";
  const value = share * 100;
  if (value !== 0 && Math.abs(value) < 0.005) return value < 0 ? "−<0.01%" : "<0.01%";
  return (Math.abs(value) < 1 ? percentFine : percentOnce)(value) + "%";
}

const count = (number, one, many) => `${whole(number)} ${number === 1 ? one : many ?? one + "s"}`;
