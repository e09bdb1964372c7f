const cache = new Map();

export async function forecast(city, { units = 'metric', days = 3 } = {}) {
  const key = `${city}:${units}:${days}`;
  const hit = cache.get(key);
  if (hit && Date.now() - hit.time < 10 * 60 * 1000) {
    return hit.value;
  }
  const response = await fetch(`/api/weather?city=${encodeURIComponent(city)}&units=${units}`);
  if (!response.ok) {
    throw new Error(`weather service answered ${response.status}`);
  }
  const { list } = await response.json();
  const value = list.slice(0, days).map((day) => ({
    date: new Date(day.dt * 1000),
    high: Math.round(day.temp.max),
    low: Math.round(day.temp.min),
  }));
  cache.set(key, { time: Date.now(), value });
  return value;
}
